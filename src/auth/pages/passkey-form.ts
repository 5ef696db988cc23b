// The form of a passkey: shown by the script alone, where the browser knows passkeys.
import { type Html, html } from '../../base/html.ts';

export interface PasskeyForm {
  kind: 'create' | 'get';
  /** Where it is sent, as browsers see it. */
  action: string;
  /** Hidden fields. */
  fields: Html;
  /** What the browser is to be asked. */
  options: object;
  button: string;
}

export function passkeyForm({ kind, action, fields, options, button }: PasskeyForm): Html {
  const name =
    kind === 'create'
      ? html`<label for="passkey-name">Name of the passkey, for your list</label>
<input id="passkey-name" name="name" maxlength="60" placeholder="This computer">\n`
      : html``;
  return html`<form method="post" action="${action}" data-passkey="${kind}" data-options="${JSON.stringify(options)}" hidden>
${fields}<input type="hidden" name="passkey" value="">
${name}<button class="other">${button}</button>
<p class="hint" role="status"></p>
</form>
`;
}
