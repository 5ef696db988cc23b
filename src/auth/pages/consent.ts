// What an app asks for, in words, with a tick for each; whole kinds of records may be narrowed to some categories of them.
// https://hl7.org/fhir/smart-app-launch/best-practices.html
import { type Html, html } from '../../base/html.ts';
import type { AuthAnswer } from '../exchange.ts';
import { type Asking, formOf, whoNote } from './asking.ts';
import { isContext, type Offer, offersOf } from './consented.ts';
import type { PageContext } from './context.ts';
import { page } from './layout.ts';
import { patientText } from './patient.ts';
import { scopeWords } from './scope-words.ts';

export async function consentPage(context: PageContext, asking: Asking): Promise<AuthAnswer> {
  const { interaction, client, who } = asking;
  const patient = interaction.patient === undefined ? undefined : await describePatient(context, asking);
  const isOwn = who.user.fhirUser === `Patient/${interaction.patient}`;
  const called = isOwn ? 'yours' : (patient?.name ?? 'the patient');
  const { action, fields } = formOf(context, asking);
  const unverified = client.isUnverified
    ? html`<p class="note">Nobody at this practice has checked this app: it chose its name itself. Go on only if you know it.</p>\n`
    : html``;
  const about =
    interaction.patient === undefined
      ? html``
      : html`<p>It would be about: <strong>${patient === undefined ? 'the patient who is open' : patientText(patient)}</strong></p>\n`;
  return page(context, {
    title: `Allow ${client.name}?`,
    formTargets: [interaction.redirectUri],
    body: html`${unverified}<p>The app <strong>${client.name}</strong> asks to do the following in your name. It sees and does no more
 than you may yourself. Untick what you do not want.</p>
${about}<form method="post" action="${action}/consent">
${fields}<fieldset><legend>The app may</legend>
${offersOf(interaction.scopes).map((offer) => choice(offer, called))}</fieldset>
${contextNote(interaction.scopes, called)}<p class="hint">Afterwards you are at ${new URL(interaction.redirectUri).host || client.name}. You can end the access under “My account”.</p>
<button name="decision" value="allow">Allow</button>
<button class="other" name="decision" value="deny">Do not allow</button>
</form>
${whoNote(context, asking)}`,
  });
}

async function describePatient(context: PageContext, { interaction, who }: Asking) {
  return interaction.patient === undefined ? undefined : context.describePatient?.(who.user.id, interaction.patient);
}

function choice({ token, parts }: Offer, called: string): Html {
  const { title, hint } = scopeWords(token, called);
  const narrower =
    parts.length === 0
      ? html``
      : html`<details class="parts"><summary>Only some of it</summary>
<p class="hint">Untick the line above and tick what the app may see.</p>
${parts.map((part) => html`<label class="choice"><input type="checkbox" name="scope" value="${part.token}">${part.title}</label>\n`)}</details>\n`;
  return html`<label class="choice"><input type="checkbox" name="scope" value="${token}" checked><span>${title}${hint === '' ? html`` : html` <span class="hint">${hint}</span>`}</span></label>
${narrower}`;
}

function contextNote(scopes: readonly string[], called: string): Html {
  const titles = scopes.filter(isContext).map((token) => scopeWords(token, called).title);
  if (titles.length === 0) return html``;
  return html`<p class="hint">The app will also ${titles.map((title) => title.charAt(0).toLowerCase() + title.slice(1)).join(', and ')}.</p>\n`;
}
