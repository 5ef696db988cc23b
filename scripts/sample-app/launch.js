// The EHR sends iss and launch; a person who connects by herself sends iss alone.
// https://hl7.org/fhir/smart-app-launch/app-launch.html#launch-app-standalone-launch
const given = new URLSearchParams(location.search);
const launch = given.has('launch') ? 'launch' : 'launch/patient';

FHIR.oauth2
  .authorize({
    clientId: given.get('client') ?? 'sample-app',
    scope: `${launch} openid fhirUser offline_access patient/*.rs`,
    redirectUri: './',
    pkceMode: 'required',
  })
  .catch((error) => {
    document.getElementById('said').textContent = error.message;
  });
