// An interaction as its pages see it, and what their forms have in common.
import { html } from '../../base/html.ts';
import type { Client } from '../clients.ts';
import type { Interaction } from '../interaction.ts';
import { csrfField, type PageContext, type Who } from './context.ts';

/** What a step's page and form need. */
export interface Asking {
  interaction: Interaction;
  client: Client;
  who: Who;
}

export const interactionPath = ({ id }: Interaction): string => `/auth/interaction/${id}`;

/** What the forms are bound to. */
export const boundTo = ({ interaction, who }: Asking): string => `interaction ${interaction.id} ${who.session.id}`;

/** Where the forms of a step go, and their hidden field. */
export const formOf = (context: PageContext, asking: Asking) => ({
  action: `${context.root}${interactionPath(asking.interaction)}`,
  fields: csrfField(context, boundTo(asking)),
});

/** For pages of a step: whose browser this is, and a way out for others. */
export function whoNote(context: PageContext, { interaction, who }: Asking) {
  return html`<form method="post" action="${context.root}/auth/logout">
${csrfField(context, `session ${who.session.id}`)}<input type="hidden" name="next" value="${interactionPath(interaction)}">
<p class="hint">You are signed in as ${who.user.name}. <button class="other small">Somebody else?</button></p>
</form>`;
}
