// pouchdb-express-router reads bodies in promises that nobody catches: a client that is killed in
// the middle of an upload would end the whole peer.
process.on('unhandledRejection', (error) => {
  if (error?.code !== 'ECONNRESET') throw error;
});
