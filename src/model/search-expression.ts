// The part of FHIRPath in which search parameters are written, parsed to a tree.
// https://hl7.org/fhirpath/N1/#grammar, https://hl7.org/fhir/R4/searchparameter-definitions.html#SearchParameter.expression

export type SearchExpression =
  /** What the expression, or the criteria of a `where`, is applied to. */
  | { kind: 'focus' }
  /** `%resource`. */
  | { kind: 'resource' }
  | { kind: 'literal'; type: 'string' | 'boolean' | 'decimal'; value: string | boolean | number }
  /** Also a type name at the start: `Patient` in `Patient.name`. */
  | { kind: 'member'; target: SearchExpression; name: string }
  | { kind: 'call'; target: SearchExpression; name: string; arguments: readonly SearchExpression[] }
  | { kind: 'index'; target: SearchExpression; index: number }
  | { kind: 'type'; operator: 'is' | 'as'; target: SearchExpression; type: string }
  | { kind: 'union'; left: SearchExpression; right: SearchExpression }
  | { kind: 'equality'; operator: '=' | '!='; left: SearchExpression; right: SearchExpression }
  | { kind: 'logic'; operator: 'and' | 'or'; left: SearchExpression; right: SearchExpression };

const focus: SearchExpression = { kind: 'focus' };

/** The tree of an expression, or undefined where it uses another part of FHIRPath or is no FHIRPath at all. */
export function parseSearchExpression(text: string): SearchExpression | undefined {
  const tokens = tokensOf(text);
  if (tokens === undefined) return undefined;
  const parser = createParser(tokens);
  const tree = parser.logic(0);
  return parser.isAtEnd() ? tree : undefined;
}

interface Token {
  kind: 'name' | 'string' | 'number' | 'variable' | 'symbol' | 'end';
  text: string;
}

const end: Token = { kind: 'end', text: '' };

/** Compiling and running recurse once per step of a path. The longest official union has 325 tokens. */
const tokensMax = 1000;

const pattern =
  /\s*(?:([A-Za-z_]\w*)|`((?:[^`\\]|\\.)*)`|'((?:[^'\\]|\\.)*)'|(\d+(?:\.\d+)?)|([%$][A-Za-z]+)|(!=|[=|.,()[\]]))/y;

function tokensOf(text: string): Token[] | undefined {
  const tokens: Token[] = [];
  const source = text.trimEnd();
  pattern.lastIndex = 0;
  while (pattern.lastIndex < source.length) {
    const match = pattern.exec(source);
    if (match === null || tokens.length >= tokensMax) return undefined;
    const [, name, quotedName, string, number, variable, symbol] = match;
    if (name !== undefined || quotedName !== undefined)
      tokens.push({ kind: 'name', text: name ?? unescaped(quotedName) });
    else if (string !== undefined) tokens.push({ kind: 'string', text: unescaped(string) });
    else if (number !== undefined) tokens.push({ kind: 'number', text: number });
    else if (variable !== undefined) tokens.push({ kind: 'variable', text: variable });
    else tokens.push({ kind: 'symbol', text: symbol ?? '' });
  }
  return tokens;
}

const escapes: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', f: '\f' };

function unescaped(text = ''): string {
  return text.replace(/\\(?:u([0-9a-fA-F]{4})|(.))/g, (_, hex: string | undefined, character: string) =>
    hex === undefined ? (escapes[character] ?? character) : String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

/** Parentheses, criteria and arguments nest no deeper than this; official expressions have three levels. */
const depthMax = 16;

type Parsed = SearchExpression | undefined;

/** Recursive descent, one function per level of precedence; each answers undefined where the text is not understood. */
function createParser(tokens: readonly Token[]) {
  let at = 0;

  const peek = (): Token => tokens[at] ?? end;
  const isAtEnd = (): boolean => at >= tokens.length;

  function accept(kind: Token['kind'], ...texts: string[]): string | undefined {
    const token = peek();
    if (token.kind !== kind || (texts.length > 0 && !texts.includes(token.text))) return undefined;
    at++;
    return token.text;
  }

  function binary(
    operand: () => Parsed,
    operator: () => string | undefined,
    node: (operator: string, left: SearchExpression, right: SearchExpression) => SearchExpression,
  ): Parsed {
    let left = operand();
    for (let found = operator(); found !== undefined; found = operator()) {
      const right = operand();
      if (left === undefined || right === undefined) return undefined;
      left = node(found, left, right);
    }
    return left;
  }

  function logic(depth: number): Parsed {
    if (depth > depthMax) return undefined;
    const and = (): Parsed =>
      binary(
        () => equality(depth),
        () => accept('name', 'and'),
        (_, left, right) => ({ kind: 'logic', operator: 'and', left, right }),
      );
    return binary(
      and,
      () => accept('name', 'or'),
      (_, left, right) => ({ kind: 'logic', operator: 'or', left, right }),
    );
  }

  function equality(depth: number): Parsed {
    return binary(
      () => union(depth),
      () => accept('symbol', '=', '!='),
      (operator, left, right) => ({ kind: 'equality', operator: operator === '=' ? '=' : '!=', left, right }),
    );
  }

  function union(depth: number): Parsed {
    return binary(
      () => typed(depth),
      () => accept('symbol', '|'),
      (_, left, right) => ({ kind: 'union', left, right }),
    );
  }

  function typed(depth: number): Parsed {
    let target = path(depth);
    for (let operator = accept('name', 'is', 'as'); operator !== undefined; operator = accept('name', 'is', 'as')) {
      const type = typeName();
      if (target === undefined || type === undefined) return undefined;
      target = { kind: 'type', operator: operator === 'is' ? 'is' : 'as', target, type };
    }
    return target;
  }

  function typeName(): string | undefined {
    const name = accept('name');
    return accept('symbol', '.') === undefined ? name : accept('name');
  }

  function path(depth: number): Parsed {
    let target = term(depth);
    while (target !== undefined) {
      if (accept('symbol', '.') !== undefined) {
        target = invocation(target, depth);
      } else if (accept('symbol', '[') !== undefined) {
        const index = accept('number');
        if (index === undefined || accept('symbol', ']') === undefined) return undefined;
        target = { kind: 'index', target, index: Number(index) };
      } else {
        return target;
      }
    }
    return undefined;
  }

  function term(depth: number): Parsed {
    const { kind, text } = peek();
    switch (kind) {
      case 'string':
        at++;
        return { kind: 'literal', type: 'string', value: text };
      case 'number':
        at++;
        return { kind: 'literal', type: 'decimal', value: Number(text) };
      case 'variable':
        at++;
        return text === '$this' ? focus : text === '%resource' ? { kind: 'resource' } : undefined;
      case 'name':
        if (text === 'true' || text === 'false') {
          at++;
          return { kind: 'literal', type: 'boolean', value: text === 'true' };
        }
        return invocation(focus, depth);
      case 'symbol': {
        if (accept('symbol', '(') === undefined) return undefined;
        const inner = logic(depth + 1);
        return accept('symbol', ')') === undefined ? undefined : inner;
      }
      case 'end':
        return undefined;
    }
  }

  function invocation(target: SearchExpression, depth: number): Parsed {
    const name = accept('name');
    if (name === undefined) return undefined;
    if (accept('symbol', '(') === undefined) return { kind: 'member', target, name };
    const given: SearchExpression[] = [];
    while (accept('symbol', ')') === undefined) {
      if (given.length > 0 && accept('symbol', ',') === undefined) return undefined;
      const argument = logic(depth + 1);
      if (argument === undefined) return undefined;
      given.push(argument);
    }
    return typeCall(target, name, given) ?? { kind: 'call', target, name, arguments: given };
  }

  return { logic, isAtEnd };
}

/** `as(Quantity)`, `ofType(FHIR.Quantity)` and `is(Quantity)` are the operators in another dress. */
function typeCall(target: SearchExpression, name: string, given: readonly SearchExpression[]): Parsed {
  const [type] = given;
  if (!['as', 'is', 'ofType'].includes(name) || given.length !== 1 || type?.kind !== 'member') return undefined;
  return { kind: 'type', operator: name === 'is' ? 'is' : 'as', target, type: type.name };
}
