// How long everything lives, in ms. Short where it travels through a browser, absolute where it renews itself.

const second = 1_000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;

export const lifetimes = {
  /** "Usually expiring within around one minute". */
  code: minute,
  /** A code that was used is remembered, so that its second use ends what came of the first. */
  usedCode: day,
  accessToken: 15 * minute,
  /** "The expires_in value SHOULD NOT exceed 300" (SMART Backend Services). */
  systemToken: 5 * minute,
  /** A grant with offline_access, however often it is renewed; and one with online_access, if its session lasts. */
  offlineGrant: 90 * day,
  onlineGrant: 12 * hour,
  interaction: 10 * minute,
  launch: 5 * minute,
  /** Of a pushed request: from the app's own request to that of the browser. */
  pushedRequest: minute,
  idToken: hour,
  /** Longest time from now that a client may put into `exp` of an assertion, and how far its clock may be off. */
  assertion: 5 * minute,
  assertionSkew: 5 * second,
  /** How far the time of a DPoP proof may lie from ours, on either side. */
  dpopProof: minute,
  /** For tokens of external issuers. */
  tokenSkew: 60 * second,
  signingKey: 90 * day,
  /** A key that is no longer used is published so long after the last id_token signed by it is over. */
  oldSigningKey: day,
  registrationToken: 7 * day,
} as const;
