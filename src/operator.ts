// Who runs this process, for the audit record.
import { userInfo } from 'node:os';

/** Name of the system's user; a container may have one without a name. */
export function operator(): string {
  try {
    return userInfo().username;
  } catch {
    return `user ${process.getuid?.() ?? ''}`;
  }
}
