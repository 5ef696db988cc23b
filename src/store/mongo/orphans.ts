// A process that was killed leaves its transactions open on the server, and they hold their rows until the server gives
// them up a minute later (transactionLifetimeLimitSeconds). Whoever keeps running into such a row clears them away.
import type { MongoClient } from 'mongodb';

/**
 * Ends the open transactions of our user whose connection is gone. Should one of them live after all, it finds itself
 * aborted and starts again. Never throws: it is tried on the way, and the attempt that follows says what is wrong.
 */
export async function endOrphans(client: MongoClient): Promise<void> {
  const admin = client.db('admin');
  try {
    const operations = await admin
      .aggregate(
        [
          { $currentOp: { allUsers: false, idleConnections: true, idleSessions: true } },
          {
            $project: { type: 1, connectionId: 1, lsid: 1, appName: 1, txnNumber: '$transaction.parameters.txnNumber' },
          },
        ],
        // As a Buffer a session's id would lose that it is a UUID.
        { promoteBuffers: false },
      )
      .toArray();
    const sessions = operations.filter(({ type }) => type === 'idleSession');
    const connected = new Set(operations.filter(({ type }) => type !== 'idleSession').map((one) => one.connectionId));
    const orphans = sessions.filter(
      (one) => one.appName === 'careloom' && one.txnNumber !== undefined && !connected.has(one.connectionId),
    );
    if (orphans.length > 0) await admin.command({ killSessions: orphans.map(({ lsid }) => ({ id: lsid.id })) });
  } catch {
    // No permission, or no server: they go by themselves in time.
  }
}
