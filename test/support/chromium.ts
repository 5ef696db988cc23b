// The browser that tests of pages drive.
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';

/** Chromium or Chrome on the PATH; undefined where there is none, and tests are skipped by name. */
export const executablePath = ['chromium', 'chromium-browser', 'google-chrome']
  .flatMap((name) => (process.env.PATH ?? '').split(':').map((folder) => join(folder, name)))
  .find((file) => {
    try {
      accessSync(file, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
