// The script of pages with a passkey: asks the browser for it, with the options that the page holds, and sends the answer in
// the form. It is served from a route of its own, so that the pages' policy needs no 'unsafe-inline'.

export const passkeyScript = `'use strict';
(() => {
  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0));
  const text = (buffer) =>
    btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\\+/g, '-').replace(/\\//g, '_').replace(/=+$/, '');
  const withIds = (list) => (list || []).map((each) => ({ type: 'public-key', ...each, id: bytes(each.id) }));

  async function answer(kind, options) {
    const publicKey = { ...options, challenge: bytes(options.challenge) };
    if (kind === 'create') {
      publicKey.user = { ...options.user, id: bytes(options.user.id) };
      publicKey.excludeCredentials = withIds(options.excludeCredentials);
    } else {
      publicKey.allowCredentials = withIds(options.allowCredentials);
    }
    const made = await navigator.credentials[kind]({ publicKey });
    const response = { clientDataJSON: text(made.response.clientDataJSON) };
    if (kind === 'create') {
      response.attestationObject = text(made.response.attestationObject);
      response.transports = made.response.getTransports ? made.response.getTransports() : [];
    } else {
      response.authenticatorData = text(made.response.authenticatorData);
      response.signature = text(made.response.signature);
      if (made.response.userHandle) response.userHandle = text(made.response.userHandle);
    }
    return { id: made.id, rawId: text(made.rawId), type: made.type, response, clientExtensionResults: {} };
  }

  // Passkeys belong to a name: a page at a bare address cannot have any.
  if (!window.PublicKeyCredential || /^[\\d.]+$|^\\[/.test(location.hostname)) return;
  for (const form of document.querySelectorAll('form[data-passkey]')) {
    form.hidden = false;
    form.addEventListener('submit', async (event) => {
      event.preventDefault();
      try {
        const made = await answer(form.dataset.passkey, JSON.parse(form.dataset.options));
        form.elements.namedItem('passkey').value = JSON.stringify(made);
        HTMLFormElement.prototype.submit.call(form);
      } catch {
        form.querySelector('[role=status]').textContent = 'No passkey was used. Try again, or use another way.';
      }
    });
  }
})();
`;
