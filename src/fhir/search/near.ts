// near: the position of a Location within a distance of a point. https://hl7.org/fhir/R4/location.html#near
import { FhirError } from '../../base/outcome.ts';
import type { Key, Slice } from '../../store/store.ts';
import { span } from './conditions.ts';
import type { Circle } from './criteria.ts';
import { encodeNumber, NUMBER_CHARS } from './keys.ts';
import { literalValue, splitUnescaped } from './query.ts';

/** Metres of the units that a distance may have: UCUM codes, and what people write. */
const METRES: Readonly<Record<string, number>> = {
  km: 1000,
  m: 1,
  '[mi_i]': 1609.344,
  '[mi_us]': 1609.347_219,
  mi: 1609.344,
  '[nmi_i]': 1852,
  '[ft_i]': 0.3048,
  '[yd_i]': 0.9144,
};
/** "If the distance is omitted, the server chooses": a day trip. */
const RADIUS_M = 50_000;
const EARTH_M = 6_371_008.8;
const METRES_A_DEGREE = (EARTH_M * Math.PI) / 180;

/** `latitude|longitude|distance|units`. Throws FhirError('invalid') for anything else. */
export function circleOf(value: string, name: string): Circle {
  const [latitude = '', longitude = '', distance = '', units = 'km', ...more] = splitUnescaped(value, '|').map(
    literalValue,
  );
  const [lat, lon] = [degrees(latitude, 90), degrees(longitude, 180)];
  const unit = METRES[units === '' ? 'km' : units];
  const far = distance === '' ? undefined : Number(distance);
  if (
    lat === undefined ||
    lon === undefined ||
    more.length > 0 ||
    (far !== undefined && !(far >= 0 && far <= 50_000))
  ) {
    throw new FhirError(
      'invalid',
      `"${name}" takes latitude|longitude|distance|units, such as -83.694810|42.256500|11.20|km, in degrees.`,
    );
  }
  if (unit === undefined) {
    throw new FhirError('invalid', `"${name}": the distance is in one of ${Object.keys(METRES).join(', ')}.`);
  }
  return { latitude: lat, longitude: lon, radiusM: far === undefined ? RADIUS_M : far * unit };
}

function degrees(text: string, max: number): number | undefined {
  const value = /^-?\d{1,3}(\.\d{1,15})?$/.test(text) ? Number(text) : Number.NaN;
  return Math.abs(value) <= max ? value : undefined;
}

/** The key of a position: latitude and longitude, each as an ordered number. */
export const positionKey = (prefix: Key, latitude: number, longitude: number): Key =>
  `${prefix}g${encodeNumber(latitude)}${encodeNumber(longitude)}`;

/** Latitude and longitude of a position's key. */
export const positionPrefix = (prefix: Key): Key => `${prefix}g`;

/** Everything in the rectangle around a circle; `isWithin` tells the corners from the circle. */
export function around(prefix: Key, { latitude, longitude, radiusM }: Circle) {
  const height = radiusM / METRES_A_DEGREE;
  const narrowest = Math.cos((Math.min(Math.abs(latitude) + height, 90) * Math.PI) / 180);
  const width = narrowest < 1e-6 ? 180 : height / narrowest;
  const list = positionPrefix(prefix);
  const range = {
    from: list + encodeNumber(latitude - height),
    to: `${list}${encodeNumber(latitude + height)}\x7f`,
  };
  // A circle over the antimeridian or a pole: the longitude does not narrow it.
  if (width >= 180 || Math.abs(longitude) + width > 180) return span(range);
  const slice: Slice = {
    at: list.length + NUMBER_CHARS,
    length: NUMBER_CHARS,
    atLeast: encodeNumber(longitude - width),
    atMost: encodeNumber(longitude + width),
  };
  return span(range, { kind: 'slices', of: [slice] });
}

/** Great-circle distance by the haversine formula, on a sphere of the earth's mean radius: within 0.5 %. */
export function isWithin(
  { latitude, longitude, radiusM }: Circle,
  at: { latitude: number; longitude: number },
): boolean {
  const radians = (degrees: number): number => (degrees * Math.PI) / 180;
  const half =
    Math.sin(radians(at.latitude - latitude) / 2) ** 2 +
    Math.cos(radians(latitude)) * Math.cos(radians(at.latitude)) * Math.sin(radians(at.longitude - longitude) / 2) ** 2;
  return 2 * EARTH_M * Math.asin(Math.min(1, Math.sqrt(half))) <= radiusM;
}
