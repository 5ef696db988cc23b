// Shows the record that the token is for. Nothing is kept but what fhirclient keeps in this tab.
const at = (id) => document.getElementById(id);
const said = (text) => {
  at('said').textContent = text;
};

const given = new URLSearchParams(location.search);
if (given.has('error')) {
  at('connect').hidden = false;
  said(`Not allowed: ${given.get('error')}`);
} else if (given.has('code') || sessionStorage.getItem('SMART_KEY') !== null) {
  FHIR.oauth2.ready().then(show, (error) => said(error.message));
} else {
  at('connect').hidden = false;
}

async function show(client) {
  const patient = await client.patient.read();
  const [name] = patient.name ?? [];
  at('name').textContent = [...(name?.given ?? []), name?.family].filter(Boolean).join(' ');
  at('facts').textContent = `born ${patient.birthDate ?? '?'}; signed in as ${client.getFhirUser() ?? 'nobody known'}`;
  at('record').hidden = false;
  at('refresh').onclick = () => client.refresh().then(() => said('renewed'), failed);
  at('other').onclick = () => client.request('Patient/patient-002').then(() => said('read'), failed);
  const bundle = await client.request(`Observation?patient=${patient.id}&_sort=-date&_count=5`);
  at('observations').replaceChildren(...(bundle.entry ?? []).map(({ resource }) => rowOf(resource)));
  said('connected');
}

const failed = (error) => said(`refused: ${error.status ?? error.statusCode ?? error.message}`);

function rowOf({ code, valueQuantity, effectiveDateTime }) {
  const row = document.createElement('tr');
  const texts = [
    code?.text ?? code?.coding?.[0]?.display ?? '',
    valueQuantity === undefined ? '' : `${valueQuantity.value} ${valueQuantity.unit ?? ''}`,
    effectiveDateTime ?? '',
  ];
  row.append(
    ...texts.map((text) => {
      const cell = document.createElement('td');
      cell.textContent = text;
      return cell;
    }),
  );
  return row;
}
