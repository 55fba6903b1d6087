/* A client certificate for a hub with a life that never changes, for tests with a fake clock. */
#pragma once

#define HUB_CERT_FROM "2026-01-01T00:00:00Z"
#define HUB_CERT_TO   "2027-01-01T00:00:00Z"
#define HUB_CERT_PEM                                                                               \
    "-----BEGIN CERTIFICATE-----\n"                                                                \
    "MIIBHTCBxAIBATAKBggqhkjOPQQDAjAbMRkwFwYDVQQDDBBhbHBoYSBodWIgY2xp\n"                           \
    "ZW50MB4XDTI2MDEwMTAwMDAwMFoXDTI3MDEwMTAwMDAwMFowGzEZMBcGA1UEAwwQ\n"                           \
    "YWxwaGEgaHViIGNsaWVudDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABE2QLJ2T\n"                           \
    "9M1hUExq+j4YRU9l9t4BnByXLZ9X2271J4gmwWpyPa+vSMQFe5U35Y5qmF/6jbGc\n"                           \
    "/i+9XdWQ4NRM6L4wCgYIKoZIzj0EAwIDSAAwRQIhAJEvfoz8jouWMLVo/ei41VDz\n"                           \
    "IhWULkmdr/GcWF+JpxbwAiBfXqAqR6cWQMWbj6u2SqjK3SyBDpJivwFWB3eX0L16\n"                           \
    "pw==\n"                                                                                       \
    "-----END CERTIFICATE-----\n"
