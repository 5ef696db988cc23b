// What a person is told who sends a form of a step that is over, or has not come yet.
import { html } from '../../base/html.ts';
import type { AuthAnswer } from '../exchange.ts';
import type { PageContext } from './context.ts';
import { page } from './layout.ts';

/** 400, with the way on. `path` is below the server's root. */
export function outOfOrder(context: PageContext, path: string): AuthAnswer {
  return page(context, {
    title: 'This step is over',
    status: 400,
    body: html`<p role="alert">The form that was sent belongs to another step; perhaps it was open in two windows, or too
 long. <a href="${context.root}${path}">Continue here</a>.</p>`,
  });
}
