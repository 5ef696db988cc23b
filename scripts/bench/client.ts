// A lean HTTP/1.1 client for loopback: keep-alive, no pipelining, one request at a time on each connection. node:http
// would take more CPU for a request than the server under test.
import { connect, type Socket } from 'node:net';

export interface Reply {
  status: number;
  /** Body bytes. */
  length: number;
  body(): Buffer;
}

const END_OF_HEAD = Buffer.from('\r\n\r\n');

export class Connection {
  readonly #socket: Socket;
  #chunks: Buffer[] = [];
  #have = 0;
  /** Bytes of head and body; -1 while the head is incomplete. */
  #whole = -1;
  #head = 0;
  #status = 0;
  #settle: ((reply: Reply) => void) | undefined;
  #refuse: ((reason: Error) => void) | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
    socket.on('error', (error) => this.#fail(error));
    socket.on('close', () => this.#fail(new Error('the server closed the connection')));
  }

  static open(port: number): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: '127.0.0.1', port });
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.off('error', reject);
        resolve(new Connection(socket));
      });
    });
  }

  /** Sends the bytes of a whole request. */
  send(request: Buffer): Promise<Reply> {
    return new Promise((resolve, reject) => {
      this.#settle = resolve;
      this.#refuse = reject;
      this.#socket.write(request);
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #take(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#have += chunk.length;
    if (this.#whole < 0) this.#readHead();
    if (this.#whole < 0 || this.#have < this.#whole) return;
    const chunks = this.#chunks;
    const head = this.#head;
    const reply: Reply = {
      status: this.#status,
      length: this.#whole - head,
      body: () => Buffer.concat(chunks).subarray(head),
    };
    this.#chunks = [];
    this.#have = 0;
    this.#whole = -1;
    this.#settle?.(reply);
  }

  #readHead(): void {
    const bytes = this.#chunks.length === 1 ? (this.#chunks[0] as Buffer) : Buffer.concat(this.#chunks);
    const end = bytes.indexOf(END_OF_HEAD);
    if (end < 0) return;
    const head = bytes.toString('latin1', 0, end);
    this.#status = Number(head.slice(9, 12));
    this.#head = end + END_OF_HEAD.length;
    this.#whole = this.#head + Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0);
  }

  #fail(error: Error): void {
    this.#refuse?.(error);
    this.#refuse = undefined;
  }
}

export interface RequestParts {
  method: string;
  /** Path and query from the root: `/fhir/Patient?name=x`. */
  url: string;
  body?: string;
  contentType?: string;
  /** Access token. */
  token?: string | undefined;
}

/** The bytes of a request, made before anything is measured. */
export function requestBytes({ method, url, body, contentType, token }: RequestParts): Buffer {
  const payload = Buffer.from(body ?? '');
  const type = contentType ?? 'application/fhir+json';
  const content = body === undefined ? '' : `Content-Type: ${type}\r\nContent-Length: ${payload.length}\r\n`;
  const about = token === undefined ? content : `Authorization: Bearer ${token}\r\n${content}`;
  const head = `${method} ${url} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/fhir+json\r\n${about}\r\n`;
  return Buffer.concat([Buffer.from(head), payload]);
}
