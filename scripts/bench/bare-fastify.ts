// Child process: one bare Fastify route with a constant reply, the measure of what HTTP alone costs. Tells its port.
//   node bare-fastify.ts BYTES
import fastify from 'fastify';

const body = Buffer.alloc(Number(process.argv[2]), 'x').toString('latin1');
const server = fastify({ logger: false });
server.get('/constant', (_, reply) => {
  reply.type('application/fhir+json; charset=utf-8').send(body);
});
const address = await server.listen({ host: '127.0.0.1', port: 0 });
process.send?.({ port: Number(new URL(address).port) });
process.on('disconnect', () => process.exit());
