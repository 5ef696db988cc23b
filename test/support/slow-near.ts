// Whether a position lies within a distance of another one. https://hl7.org/fhir/R4/location.html#near
import type { SearchValue } from './slow-criteria.ts';

/** Degrees. */
export interface Position {
  latitude: number;
  longitude: number;
}

const METRES: Readonly<Record<string, number>> = { km: 1000, m: 1, '[mi_i]': 1609.344, '[nmi_i]': 1852 };
const EARTH_M = 6_371_008.8;
const DEFAULT_M = 50_000;

/** By the angle between two directions from the middle of the earth. */
export function isNear(
  at: Position,
  { latitude, longitude, distance, unit }: Extract<SearchValue, { kind: 'near' }>,
): boolean {
  const [a, b] = [direction(at), direction({ latitude, longitude })];
  const cross = [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]] as const;
  const angle = Math.atan2(Math.hypot(...cross), a[0] * b[0] + a[1] * b[1] + a[2] * b[2]);
  return angle * EARTH_M <= (distance === undefined ? DEFAULT_M : distance * (METRES[unit ?? 'km'] ?? 0));
}

function direction({ latitude, longitude }: Position): readonly [number, number, number] {
  const [lat, lon] = [(latitude * Math.PI) / 180, (longitude * Math.PI) / 180];
  return [Math.cos(lat) * Math.cos(lon), Math.cos(lat) * Math.sin(lon), Math.sin(lat)];
}
