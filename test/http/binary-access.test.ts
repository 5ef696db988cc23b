// Binary, attachments, over sockets with access control on: raw content and the resource are one thing to whoever asks.
// https://hl7.org/fhir/R4/binary.html#rest
import t from 'tap';
import { demoClient } from '../../src/cli/demo.ts';
import { guardedApp, tokenFor } from '../support/guarded-app.ts';
import { onBothStores } from '../support/stores.ts';

await onBothStores(t, async (t, adapter) => {
  const { store, close } = await adapter.open();
  const served = await guardedApp(store, { settings: { CARELOOM_RATE_LIMITS: 'off' } });
  t.teardown(async () => {
    await served.close();
    await close();
  });
  await served.control.server.clients.add(demoClient);
  const doctor = await tokenFor(served, 'doctor', 'user/*.cruds');
  const anna = await tokenFor(served, 'anna', 'launch/patient patient/*.rs', 'patient-001');
  const ask = async (path: string, token: string, headers: Record<string, string> = {}, more: RequestInit = {}) => {
    const reply = await fetch(`${served.url}/fhir/${path}`, {
      ...more,
      headers: { authorization: `Bearer ${token}`, ...headers },
    });
    return { status: reply.status, headers: reply.headers, text: await reply.text() };
  };
  const upload = (context: string | undefined) =>
    ask(
      'Binary',
      doctor,
      { 'content-type': 'text/plain', ...(context === undefined ? {} : { 'x-security-context': context }) },
      { method: 'POST', body: 'hello' },
    );
  const idOf = ({ text }: { text: string }): string => JSON.parse(text).id;

  await t.test('Binary: plain content says by X-Security-Context what it belongs to', async (t) => {
    for (const context of [undefined, 'Patient/none']) {
      const refused = await upload(context);
      t.equal(refused.status, 403, String(context));
      t.match(refused.text, /X-Security-Context/);
    }
    t.equal((await upload('Patient/patient-001')).status, 201);
  });

  await t.test(
    'threat 3: content, parts, HEAD, JSON, XML and versions of a Binary are seen by the same people',
    async (t) => {
      const ids = [idOf(await upload('Patient/patient-001')), idOf(await upload('Patient/patient-002'))];
      const forms: [headers: Record<string, string>, method: string, status: number][] = [
        [{}, 'GET', 200],
        [{}, 'HEAD', 200],
        [{ range: 'bytes=0-1' }, 'GET', 206],
        [{ accept: 'application/fhir+json' }, 'GET', 200],
        [{ accept: 'application/fhir+xml' }, 'GET', 200],
        [{ 'if-none-match': 'W/"1"' }, 'GET', 304],
      ];
      for (const [headers, method, status] of forms) {
        for (const rest of ['', '/_history/1']) {
          const [own, other] = await Promise.all(
            ids.map((id) => ask(`Binary/${id}${rest}`, anna, headers, { method })),
          );
          const name = `${method}${rest} ${JSON.stringify(headers)}`;
          if (rest === '' || status !== 304) t.equal(own?.status, status, name);
          t.equal(other?.status, 404, name);
        }
      }
      const raw = await ask(`Binary/${ids[0]}`, anna);
      t.equal(raw.text, 'hello');
      t.equal(raw.headers.get('x-security-context'), 'Patient/patient-001');
      t.equal((await ask(`Binary/${ids[0]}`, anna, {}, { method: 'DELETE' })).status, 403);
    },
  );

  await t.test('Binary: the record of who saw it names the patient of its context', async (t) => {
    const id = idOf(await upload('Patient/patient-001'));
    await ask(`Binary/${id}`, anna);
    const { rows } = await store.audit.rows({ patient: 'patient-001', descending: true, limit: 3 });
    t.ok(rows.some(({ body }) => body.includes(`Binary/${id}`)));
  });
});
