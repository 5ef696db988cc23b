// The measurements of $stats by code: of observations with a code asked for, of their components with one, and for a panel
// those of its components and members. https://hl7.org/fhir/R4/observation-operation-stats.html
import { limits } from '../../base/limits.ts';
import { FhirError } from '../../base/outcome.ts';
import type { Point } from './stats-math.ts';
import type { Coding } from './stats-request.ts';
import { inOneUnit, type Measured, type Unit } from './stats-units.ts';

export interface CodeableConcept {
  coding?: readonly { system?: string; code?: string; display?: string }[];
  text?: string;
}

interface Valued {
  code?: CodeableConcept;
  valueQuantity?: Partial<Measured> & { comparator?: string };
  /** May change what the value means, so that it does not count. */
  modifierExtension?: unknown;
}

/** What of an Observation is read. */
export interface Observation extends Valued {
  id: string;
  component?: readonly Valued[];
  hasMember?: readonly { reference?: string }[];
  [value: `value${string}`]: unknown;
}

/** The measurements of one code. */
export interface Series {
  code: CodeableConcept;
  unit?: Unit;
  points: Point[];
  /** With those that have no value to calculate with. */
  total: number;
  /** Measurements in a unit that is not the others' and cannot be converted into it. */
  inOtherUnits: number;
}

interface Group {
  code: CodeableConcept;
  /** The code is that of a panel, which is told of by its parts. */
  isPanel: boolean;
  /** Observations and components that are in already. */
  seen: Set<string>;
  measurements: (Measured & { at?: number })[];
  total: number;
}

export class SeriesByCode {
  readonly #asked: readonly { coding: Coding; group: Group }[];
  readonly #others = new Map<string, Group>();

  constructor(codings: readonly Coding[]) {
    const byText = new Map(codings.map((coding) => [textOf(coding), coding]));
    this.#asked = [...byText.values()].map((coding) => ({ coding, group: newGroup({ coding: [coding] }) }));
  }

  /** Takes in an observation with a code asked for in itself or a component; the references to the members of a panel. */
  add(observation: Observation, at: number | undefined): readonly string[] {
    const group = this.#askedFor(observation.code);
    if (group === undefined) {
      for (const part of partsOf(observation, at)) {
        const own = this.#askedFor(part.valued.code);
        if (own !== undefined) take(own, part);
      }
      return [];
    }
    group.isPanel ||= isPanel(observation);
    this.addMember(observation, at);
    return (observation.hasMember ?? []).flatMap(({ reference }) => reference ?? []);
  }

  /** Takes in an observation whole: its own value, and those of its components. */
  addMember(observation: Observation, at: number | undefined): void {
    const { id } = observation;
    if (!isPanel(observation) || hasValue(observation)) {
      take(this.#groupOf(observation.code), { id, valued: observation, at });
    }
    for (const part of partsOf(observation, at)) take(this.#groupOf(part.valued.code), part);
  }

  /** Of the codes asked for in their order, then of what panels held. */
  series(): Series[] {
    const asked = this.#asked.map(({ group }) => group).filter(({ isPanel, total }) => !isPanel || total > 0);
    const groups = [...asked, ...this.#others.values()];
    // A panel without a single measurement still has an answer.
    return (groups.length > 0 ? groups : this.#asked.map(({ group }) => group)).map(seriesOf);
  }

  #askedFor(code: CodeableConcept | undefined): Group | undefined {
    const codings = code?.coding ?? [];
    return this.#asked.find(({ coding }) => codings.some((one) => isSame(coding, one)))?.group;
  }

  #groupOf(code: CodeableConcept = {}): Group {
    const asked = this.#askedFor(code);
    if (asked !== undefined) return asked;
    const [coding] = code.coding ?? [];
    const name = coding?.code === undefined ? `text ${code.text ?? ''}` : textOf({ ...coding, code: coding.code });
    let group = this.#others.get(name);
    if (group === undefined) {
      if (this.#others.size >= limits.statsCodesMax) {
        throw new FhirError(
          'too-costly',
          `These panels have more than ${limits.statsCodesMax} different measurements; ask for their codes instead.`,
        );
      }
      group = newGroup(code);
      this.#others.set(name, group);
    }
    return group;
  }
}

const newGroup = (code: CodeableConcept): Group => ({
  code,
  isPanel: false,
  seen: new Set(),
  measurements: [],
  total: 0,
});

const textOf = ({ system, code }: Coding): string => `${system ?? '*'}|${code.toLowerCase()}`;

/** Codes are compared as a search compares them: without case, and in any system where none is asked for. */
const isSame = (asked: Coding, coding: { system?: string; code?: string }): boolean =>
  coding.code?.toLowerCase() === asked.code.toLowerCase() &&
  (asked.system === undefined || (coding.system ?? '') === asked.system);

const isPanel = ({ component = [], hasMember = [] }: Observation): boolean =>
  component.length > 0 || hasMember.length > 0;

const hasValue = (observation: Observation): boolean =>
  Object.keys(observation).some((member) => /^value[A-Z]/.test(member));

/** Something measured: an observation, or a component of one. */
interface Part {
  id: string;
  valued: Valued;
  at: number | undefined;
}

/** The components; what modifies the observation modifies each of them. */
const partsOf = ({ id, component = [], modifierExtension }: Observation, at: number | undefined): Part[] =>
  component.map((one, index) => ({
    id: `${id}#${index}`,
    valued: modifierExtension === undefined ? one : { ...one, modifierExtension },
    at,
  }));

function take(group: Group, { id, valued, at }: Part): void {
  if (group.seen.has(id)) return;
  group.seen.add(id);
  group.total++;
  const { value, unit, system, code, comparator } = valued.valueQuantity ?? {};
  // "<5" is no value to calculate with.
  if (typeof value !== 'number' || comparator !== undefined || valued.modifierExtension !== undefined) return;
  group.measurements.push({
    value,
    ...(unit === undefined ? {} : { unit }),
    ...(system === undefined ? {} : { system }),
    ...(code === undefined ? {} : { code }),
    ...(at === undefined ? {} : { at }),
  });
}

function seriesOf({ code, measurements, total }: Group): Series {
  const { unit, values } = inOneUnit(measurements);
  const points = measurements.flatMap(({ at }, index): Point[] => {
    const value = values[index];
    return value === undefined ? [] : [{ value, ...(at === undefined ? {} : { at }) }];
  });
  return {
    code,
    ...(unit === undefined ? {} : { unit }),
    points,
    total,
    inOtherUnits: measurements.length - points.length,
  };
}
