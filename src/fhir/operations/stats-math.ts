// The statistics of https://hl7.org/fhir/R4/codesystem-observation-statistics.html over a list of numbers. Where the
// definitions leave a choice, it is that of spreadsheets: of a sample (n - 1), percentiles by linear interpolation between
// the closest ranks, skew and kurtosis adjusted for the sample's size, kurtosis as excess over the normal distribution's.

export interface Point {
  /** ms since the epoch; absent where it is not known. */
  at?: number;
  value: number;
}

/** What a result is measured in: the unit of the values, its square, that unit per day, or none. */
export type Measure = 'value' | 'square' | 'per-day' | 'number';

export interface Statistic {
  display: string;
  results: readonly { measure: Measure; of(sample: Sample): number | undefined; name?: string }[];
}

/** Numbers to calculate with; those that several statistics need are calculated once. */
export class Sample {
  readonly points: readonly Point[];
  readonly sorted: readonly number[];
  readonly count: number;
  /** Valid and other measurements. */
  readonly total: number;
  #sum: number | undefined;

  constructor(points: readonly Point[], total: number) {
    this.points = points;
    this.sorted = points.map(({ value }) => value).sort((a, b) => a - b);
    this.count = points.length;
    this.total = total;
  }

  get sum(): number {
    this.#sum ??= sumOf(this.sorted);
    return this.#sum;
  }

  get mean(): number {
    return this.sum / this.count;
  }

  /** Sum of the powers of the distances from the mean. */
  moment(power: 2 | 3 | 4): number {
    return sumOf(this.sorted.map((value) => (value - this.mean) ** power));
  }
}

/** Neumaier's sum: what adding loses is carried along, so that 0.1 + 0.2 + … does not drift. */
function sumOf(values: readonly number[]): number {
  let sum = 0;
  let lost = 0;
  for (const value of values) {
    const next = sum + value;
    lost += Math.abs(sum) >= Math.abs(value) ? sum - next + value : value - next + sum;
    sum = next;
  }
  return sum + lost;
}

const when = (isDefined: boolean, result: () => number): number | undefined => (isDefined ? result() : undefined);

const variance = (sample: Sample): number | undefined =>
  when(sample.count > 1, () => sample.moment(2) / (sample.count - 1));

function deviation(sample: Sample): number | undefined {
  const squared = variance(sample);
  return squared === undefined ? undefined : Math.sqrt(squared);
}

/** The value below which this share of the sample lies. */
function quantile({ sorted }: Sample, share: number): number | undefined {
  const rank = (sorted.length - 1) * share;
  const [low, high] = [sorted[Math.floor(rank)], sorted[Math.ceil(rank)]];
  return low === undefined || high === undefined ? undefined : low + (high - low) * (rank - Math.floor(rank));
}

function quartileDeviation(sample: Sample): number | undefined {
  const [lower, upper] = [quantile(sample, 0.25), quantile(sample, 0.75)];
  return lower === undefined || upper === undefined ? undefined : (upper - lower) / 2;
}

function skew(sample: Sample): number | undefined {
  const { count: n } = sample;
  const s = deviation(sample);
  if (n < 3 || s === undefined || s === 0) return undefined;
  return (n / ((n - 1) * (n - 2))) * (sample.moment(3) / s ** 3);
}

function kurtosis(sample: Sample): number | undefined {
  const { count: n } = sample;
  const squared = variance(sample);
  if (n < 4 || squared === undefined || squared === 0) return undefined;
  const raw = ((n * (n + 1)) / ((n - 1) * (n - 2) * (n - 3))) * (sample.moment(4) / squared ** 2);
  return raw - (3 * (n - 1) ** 2) / ((n - 2) * (n - 3));
}

const DAY_MS = 86_400_000;

/** Least squares over the time since the first measurement, in days. */
function line({ points }: Sample): { gradient: number; intercept: number } | undefined {
  const dated = points.filter((point): point is Required<Point> => point.at !== undefined);
  const first = dated.reduce((least, { at }) => Math.min(least, at), Number.POSITIVE_INFINITY);
  const xs = dated.map(({ at }) => (at - first) / DAY_MS);
  const [meanX, meanY] = [sumOf(xs) / xs.length, sumOf(dated.map(({ value }) => value)) / xs.length];
  const spread = sumOf(xs.map((x) => (x - meanX) ** 2));
  if (!(spread > 0)) return undefined;
  const gradient = sumOf(dated.map(({ value }, at) => ((xs[at] ?? 0) - meanX) * (value - meanY))) / spread;
  return { gradient, intercept: meanY - gradient * meanX };
}

const one = (display: string, measure: Measure, of: (sample: Sample) => number | undefined): Statistic => ({
  display,
  results: [{ measure, of }],
});

const share = (display: string, part: number): Statistic => one(display, 'value', (sample) => quantile(sample, part));

/** By code. */
export const statistics: ReadonlyMap<string, Statistic> = new Map([
  ['average', one('Average', 'value', (sample) => when(sample.count > 0, () => sample.mean))],
  ['maximum', one('Maximum', 'value', ({ sorted }) => sorted.at(-1))],
  ['minimum', one('Minimum', 'value', ({ sorted }) => sorted[0])],
  ['count', one('Count', 'number', ({ count }) => count)],
  ['total-count', one('Total Count', 'number', ({ total }) => total)],
  ['median', share('Median', 0.5)],
  ['std-dev', one('Standard Deviation', 'value', deviation)],
  ['sum', one('Sum', 'value', (sample) => when(sample.count > 0, () => sample.sum))],
  ['variance', one('Variance', 'square', variance)],
  ['20-percent', share('20th Percentile', 0.2)],
  ['80-percent', share('80th Percentile', 0.8)],
  ['4-lower', share('Lower Quartile', 0.25)],
  ['4-upper', share('Upper Quartile', 0.75)],
  ['4-dev', one('Quartile Deviation', 'value', quartileDeviation)],
  ['5-1', share('1st Quintile', 0.2)],
  ['5-2', share('2nd Quintile', 0.4)],
  ['5-3', share('3rd Quintile', 0.6)],
  ['5-4', share('4th Quintile', 0.8)],
  ['skew', one('Skew', 'number', skew)],
  ['kurtosis', one('Kurtosis', 'number', kurtosis)],
  [
    'regression',
    {
      display: 'Regression',
      // "This statistic code will return both a gradient and an intercept value."
      results: [
        { name: 'Gradient', measure: 'per-day', of: (sample) => line(sample)?.gradient },
        { name: 'Intercept, at the first measurement', measure: 'value', of: (sample) => line(sample)?.intercept },
      ],
    },
  ],
] satisfies [string, Statistic][]);
