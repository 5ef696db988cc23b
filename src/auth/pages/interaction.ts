// An app asks for access: which patient, and what it may do. The steps are state of the server; the browser that began the
// interaction is the only one that may go on with it, and who is signed in there is the one who decides.
// https://hl7.org/fhir/smart-app-launch/app-launch.html#obtain-authorization-code
import { FhirError } from '../../base/outcome.ts';
import type { Client } from '../clients.ts';
import type { AuthAnswer, AuthRequest, AuthRoute } from '../exchange.ts';
import { type Interaction, isBound, isFreshFor } from '../interaction.ts';
import { resourceScopes } from '../scopes.ts';
import { type Asking, boundTo, interactionPath } from './asking.ts';
import { consentPage } from './consent.ts';
import { consentedScopes } from './consented.ts';
import { checkCsrf, field, type PageContext, pageRoute, seeOther, told, type Who, whoIs } from './context.ts';
import { patientPage } from './patient.ts';
import { outOfOrder } from './steps.ts';

const PATH = '/auth/interaction/:id';

export function interactionRoutes(context: PageContext): AuthRoute[] {
  return [
    pageRoute(context, 'GET', PATH, (request) => show(context, request)),
    pageRoute(context, 'POST', `${PATH}/patient`, (request) => atStep(context, request, 'patient', choosePatient)),
    pageRoute(context, 'POST', `${PATH}/consent`, (request) => atStep(context, request, 'consent', consent)),
  ];
}

async function show(context: PageContext, request: AuthRequest): Promise<AuthAnswer> {
  const interaction = await boundInteraction(context, request);
  const who = await whoIs(context, request);
  if (who === undefined || !isFreshFor(interaction, who.session.authTime)) {
    const parameters = new URLSearchParams({ next: interactionPath(interaction) });
    if (who !== undefined) parameters.set('again', '1');
    if (interaction.loginHint !== undefined) parameters.set('login_hint', interaction.loginHint);
    return { status: 303, headers: { Location: `${context.root}/auth/login?${parameters}` } };
  }
  const asking = { interaction, who, client: await clientOf(context, interaction) };
  if (interaction.step === 'login' || interaction.user !== who.user.id) return begin(context, request, asking);
  return interaction.step === 'patient' ? patientPage(context, asking) : consentPage(context, asking);
}

/** The handler of a form, when it is the one that is due. */
async function atStep(
  context: PageContext,
  request: AuthRequest,
  step: Interaction['step'],
  handle: (context: PageContext, request: AuthRequest, asking: Asking) => Promise<AuthAnswer>,
): Promise<AuthAnswer> {
  const interaction = await boundInteraction(context, request);
  const who = await whoIs(context, request);
  const isDue = interaction.step === step && interaction.user === who?.user.id;
  if (who === undefined || !isDue) return outOfOrder(context, interactionPath(interaction));
  const asking = { interaction, who, client: await clientOf(context, interaction) };
  checkCsrf(context, request, boundTo(asking));
  if (field(request, 'decision') === 'deny')
    return finish(context, request, asking, { scopes: [], reason: 'declined' });
  return handle(context, request, asking);
}

async function boundInteraction({ interactions }: PageContext, request: AuthRequest): Promise<Interaction> {
  const interaction = await interactions.get(request.params.id ?? '');
  if (interaction !== undefined && isBound(interaction, request)) return interaction;
  throw new FhirError(
    'invalid',
    'This request of an app is over, or was begun in another browser. Go back to the app and begin again.',
  );
}

async function clientOf({ clients }: PageContext, interaction: Interaction): Promise<Client> {
  const client = await clients.get(interaction.client);
  if (client?.state === 'active') return client;
  throw new FhirError('forbidden', 'This app is not allowed here, or not any more. Ask an administrator.');
}

/** A person has signed in, or was: what the launch fixed is checked against them, and the next step found. */
async function begin(context: PageContext, request: AuthRequest, asking: Asking): Promise<AuthAnswer> {
  const { interaction, who } = asking;
  const { launch } = interaction;
  if (launch !== undefined && launch.user !== who.user.id) {
    return finish(context, request, asking, { scopes: [], reason: 'launched for somebody else' });
  }
  const patient = launch?.patient ?? (needsPatient(interaction) ? await onlyPatient(context, who) : undefined);
  if (patient !== undefined && !(await context.canSeePatient(who.user.id, patient))) {
    return finish(context, request, asking, { scopes: [], reason: 'launched for a patient out of reach' });
  }
  const step = patient === undefined && needsPatient(interaction) ? 'patient' : 'consent';
  const { patient: _, ...others } = interaction;
  const next: Interaction = {
    ...others,
    step,
    user: who.user.id,
    authTime: who.session.authTime,
    amr: who.session.amr,
    ...(patient === undefined ? {} : { patient }),
  };
  return proceed(context, request, { ...asking, interaction: next });
}

/** A scope on a patient's records needs to know whose, be `launch/patient` asked for or not. */
const needsPatient = ({ scopes }: Interaction): boolean =>
  scopes.includes('launch/patient') || resourceScopes(scopes).some(({ level }) => level === 'patient');

/** Who is a patient and nobody else's representative has nothing to choose. */
async function onlyPatient(context: PageContext, { user }: Who): Promise<string | undefined> {
  const [type, id] = user.fhirUser?.split('/') ?? [];
  if (type !== 'Patient' || !user.roles.every((role) => role === 'patient')) return undefined;
  const choices = await context.searchPatients(user.id, '');
  return choices.length === 1 && choices[0]?.id === id ? id : undefined;
}

/** Writes the step down and shows it, or passes over the consent to what is our own. */
async function proceed(context: PageContext, request: AuthRequest, asking: Asking): Promise<AuthAnswer> {
  const { interaction, client } = asking;
  if (!(await context.interactions.put(interaction))) return outOfOrder(context, interactionPath(interaction));
  if (interaction.step !== 'consent' || !client.isFirstParty || interaction.asksConsent === true)
    return seeOther(context, interactionPath(interaction));
  const now = await context.interactions.get(interaction.id);
  if (now === undefined) return outOfOrder(context, interactionPath(interaction));
  return finish(context, request, { ...asking, interaction: now }, { scopes: interaction.scopes });
}

async function choosePatient(context: PageContext, request: AuthRequest, asking: Asking): Promise<AuthAnswer> {
  const patient = field(request, 'patient', 64);
  if (patient === '') return patientPage(context, asking, { text: field(request, 'text', 100) });
  const isReachable = /^[A-Za-z0-9.-]+$/.test(patient) && (await context.canSeePatient(asking.who.user.id, patient));
  if (!isReachable) return patientPage(context, asking, { wrong: 'This patient cannot be chosen.' });
  return proceed(context, request, { ...asking, interaction: { ...asking.interaction, patient, step: 'consent' } });
}

async function consent(context: PageContext, request: AuthRequest, asking: Asking): Promise<AuthAnswer> {
  if (field(request, 'decision') !== 'allow') return consentPage(context, asking);
  const scopes = consentedScopes(asking.interaction.scopes, request.form.getAll('scope'));
  const { patient } = asking.interaction;
  // Looked at again: what was chosen a while ago may be out of reach by now.
  if (patient !== undefined && !(await context.canSeePatient(asking.who.user.id, patient))) {
    return finish(context, request, asking, { scopes: [], reason: 'patient out of reach' });
  }
  return finish(context, request, asking, { scopes });
}

/** Back to the app, with a code or with access_denied. */
async function finish(
  context: PageContext,
  request: AuthRequest,
  { interaction, who }: Asking,
  { scopes, reason = 'nothing allowed' }: { scopes: readonly string[]; reason?: string },
): Promise<AuthAnswer> {
  const isDenied = scopes.length === 0;
  const patient = interaction.patient === undefined || isDenied ? {} : { patient: interaction.patient };
  await told(context, request, {
    kind: 'consent',
    user: who.user.id,
    client: interaction.client,
    scopes,
    ...patient,
    ...(isDenied ? { outcome: 'refused', reason } : { outcome: 'success' }),
  });
  const { authTime, amr, id: session } = who.session;
  const decision = { user: who.user.id, authTime, amr, scopes, session, ...patient };
  return { status: 303, headers: { Location: await context.interactions.finish(interaction, decision) } };
}
