// Which patient an app is to be about: search by name or birth date, and a choice.
import { type Html, html } from '../../base/html.ts';
import type { AuthAnswer } from '../exchange.ts';
import type { PatientChoice } from '../interaction.ts';
import { type Asking, formOf, whoNote } from './asking.ts';
import type { PageContext } from './context.ts';
import { page, problem } from './layout.ts';

export async function patientPage(
  context: PageContext,
  asking: Asking,
  { text = '', wrong }: { text?: string; wrong?: string } = {},
): Promise<AuthAnswer> {
  const { interaction, client, who } = asking;
  const choices = await context.searchPatients(who.user.id, text);
  const { action, fields } = formOf(context, asking);
  // The search is a form and no link: a name does not belong in an address, which is logged.
  return page(context, {
    title: 'Choose a patient',
    status: wrong === undefined ? 200 : 403,
    formTargets: [interaction.redirectUri],
    body: html`${problem(wrong)}<p>The app <strong>${client.name}</strong> asks for records of one patient.</p>
<form method="post" action="${action}/patient" role="search">
${fields}<label for="text">Name or birth date</label>
<input id="text" name="text" type="search" value="${text}" maxlength="100" placeholder="Smith, or 1970-12-31" autocomplete="off" autofocus>
<button class="other">Search</button>
</form>
<form method="post" action="${action}/patient">
${fields}<h2>${text === '' ? 'Patients' : 'Found'}</h2>
${choices.length === 0 ? html`<p>There is none that you may see.</p>\n` : choices.slice(0, CHOICES_MAX).map(choice)}<button class="other" name="decision" value="deny">Cancel</button>
</form>
${whoNote(context, asking)}`,
  });
}

/** Keeps the page below 20 kB; whoever finds more types more. */
const CHOICES_MAX = 20;

const choice = (patient: PatientChoice): Html =>
  html`<button class="patient" name="patient" value="${patient.id}">${patientText(patient)}</button>\n`;

/** Anna Smith, born 1970-12-31, female */
export function patientText({ name, birthDate, gender }: PatientChoice): string {
  return [
    name,
    ...(birthDate === undefined ? [] : [`born ${birthDate}`]),
    ...(gender === undefined ? [] : [gender]),
  ].join(', ');
}
