// One HTTP exchange as this layer sees it: requests that http/ has read, answers that it sends. No framework in here.
export interface AuthRequest {
  method: 'GET' | 'POST';
  /** Below the server's root, no query: `/auth/token`. */
  path: string;
  /** The parts of the path that its route names with a colon. */
  params: Readonly<Record<string, string>>;
  query: URLSearchParams;
  /** The form of a POST; empty for another body. A name given twice is refused by whoever asks for one value. */
  form: URLSearchParams;
  /** The value of a JSON body; undefined for another one. */
  json: unknown;
  /** Lower-case header name → value. */
  header(name: string): string | undefined;
  cookie(name: string): string | undefined;
  /** Address of the client: the peer's, or what a trusted proxy says. */
  address: string;
  /** X-Request-Id. */
  id: string;
}

export interface AuthAnswer {
  status: number;
  /** Besides what every page has: Cache-Control: no-store, the security headers, X-Request-Id. */
  headers?: Readonly<Record<string, string>>;
  cookies?: readonly Cookie[];
  /** HTML where it begins with `<!doctype html>`, else as `headers` say; an object is sent as JSON. */
  body?: string | object;
  /** CSP form-action sources beyond 'self': a redirect after a form counts as its target. */
  formTargets?: readonly string[];
}

export interface Cookie {
  name: string;
  /** Empty: remove it. */
  value: string;
  /** Path below the server's root that it is sent to. */
  path: string;
  maxAgeS?: number;
  /** HttpOnly, SameSite=Lax and (over https) Secure are set by http/, always. */
}

export interface AuthRoute {
  method: 'GET' | 'POST';
  /** `/auth/interaction/:id` */
  path: string;
  /** May be called by scripts of other origins, without cookies: token, discovery, JWKS, … */
  isCrossOrigin?: boolean;
  /** How often one address may call it. */
  rate?: 'login' | 'token' | 'register' | 'page';
  handle(request: AuthRequest): Promise<AuthAnswer>;
}

/** What the edge needs of this layer. Throws FhirError('login') where there is no valid token. */
export interface Authentication<Who> {
  routes: readonly AuthRoute[];
  authenticate(authorization: string | undefined, address: string, proof?: Proof): Promise<Who>;
}

/** The header `DPoP` of a request to the FHIR base, and the request: its path is below the base, with a slash. */
export interface Proof {
  dpop: string;
  method: string;
  path: string;
}
