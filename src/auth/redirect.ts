// The way back to an app: parameters on an address that it registered. https://www.rfc-editor.org/rfc/rfc6749#section-3.1.2

/** The address with these parameters after those it has; undefined ones are left out. */
export function redirectTo(address: string, parameters: Readonly<Record<string, string | undefined>>): string {
  const given = Object.entries(parameters).filter((pair): pair is [string, string] => pair[1] !== undefined);
  return `${address}${address.includes('?') ? '&' : '?'}${new URLSearchParams(given)}`;
}
