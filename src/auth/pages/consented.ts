// What a person may tick for the scopes that an app asks for, and what comes of the ticks. Nothing is granted that was not
// asked for: a form is only what a browser says.
import { FhirError } from '../../base/outcome.ts';
import { coversToken, parseScope } from '../scopes.ts';
import { categories } from './scope-words.ts';

export interface Offer {
  /** As asked for. */
  token: string;
  /** Narrower scopes that may be granted in its place. */
  parts: readonly { token: string; title: string }[];
}

/** Scopes that go with the launch are told of, not asked: without them the app would not know what it is about. */
export function isContext(token: string): boolean {
  const scope = parseScope(token);
  return typeof scope === 'object' && scope.kind === 'launch';
}

export function offersOf(asked: readonly string[]): Offer[] {
  return asked
    .filter((token) => typeof parseScope(token) === 'object' && !isContext(token))
    .map((token) => ({ token, parts: partsOf(token) }));
}

/** A whole Condition or Observation scope on the patient, as reading scopes on the categories of US Core. */
function partsOf(token: string): Offer['parts'] {
  const scope = parseScope(token);
  if (typeof scope !== 'object' || scope.kind !== 'resource') return [];
  const { level, type, can, query } = scope.resource;
  const reads = can.filter((permission) => permission === 'r' || permission === 's').join('');
  if (level !== 'patient' || query !== undefined || reads === '') return [];
  return (categories[type] ?? []).map((category) => ({
    token: `patient/${type}.${reads}?category=${category.token}`,
    title: category.title,
  }));
}

/**
 * The scopes that are granted when these were ticked: in the order of the asked ones behind those of the
 * launch; empty when nothing is. Throws FhirError('invalid') for one that was not offered.
 */
export function consentedScopes(asked: readonly string[], sent: readonly string[]): string[] {
  const ticked = [...new Set(sent)];
  const offers = offersOf(asked);
  const offered = offers.flatMap(({ token, parts }) => [token, ...parts.map((part) => part.token)]);
  if (!ticked.every((token) => offered.includes(token) && coversToken(asked, token))) {
    throw new FhirError('invalid', 'The form allows what the app did not ask for; nothing was granted.');
  }
  const granted = offers.flatMap(({ token, parts }) => {
    if (ticked.includes(token)) return [token];
    return parts
      .map((part) => part.token)
      .filter((part) => ticked.includes(part) && !coversToken(without(ticked, part), part));
  });
  const isNothing = granted.length === 0 && offers.length > 0;
  return isNothing ? [] : [...new Set([...asked.filter(isContext), ...granted])];
}

const without = (tokens: readonly string[], token: string): string[] => tokens.filter((each) => each !== token);
