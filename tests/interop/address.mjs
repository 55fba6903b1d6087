// The loopback address that these tests have to themselves.
export const ADDRESS = '127.0.25.1';
