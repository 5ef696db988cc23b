// The pages of sign-in, consent and accounts as routes, put together.
import type { AuthRoute } from '../exchange.ts';
import { accountRoutes } from './account.ts';
import { adminRoutes } from './admin.ts';
import type { PageContext, PagesOptions } from './context.ts';
import { enrolRoutes } from './enrol.ts';
import { externalRoutes } from './external.ts';
import { interactionRoutes } from './interaction.ts';
import { fileRoutes } from './layout.ts';
import { loginRoutes } from './login.ts';
import { logoutRoutes } from './logout.ts';
import { secondFactorRoutes } from './second-factor.ts';
import { setupRoutes } from './setup.ts';

export type { PagesOptions } from './context.ts';

export interface Pages {
  routes: readonly AuthRoute[];
}

export function createPages(options: PagesOptions): Pages {
  const context: PageContext = { ...options, root: new URL(options.issuer).pathname.replace(/\/$/, '') };
  return {
    routes: [
      ...loginRoutes(context),
      ...secondFactorRoutes(context),
      ...enrolRoutes(context),
      ...externalRoutes(context),
      ...logoutRoutes(context),
      ...interactionRoutes(context),
      ...accountRoutes(context),
      ...adminRoutes(context),
      ...setupRoutes(context),
      ...fileRoutes,
    ],
  };
}
