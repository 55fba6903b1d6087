/*
 * Where something was made, told by its own number: the last digits of a ULID that a server makes
 * for a request or a new credential follow from the server's name.  So whoever sees such a number
 * on a hub cannot take it for a document of another server, whichever of the two is read first.
 * Numbers without a mark of a server of the fleet (made before there were marks) are nobody's.
 */
#pragma once

#include "base/core/bytes.h"
#include "keyfile/trust.h"

/* The server's mark: 40 bits of the SHA-256 of its name, in the digits of a ULID.  The name is of
 * at most KF_NAME_MAX - 1 bytes. */
void kf_maker_mark(const char *server, char out[KF_MARK_TEXT]);
/* A ULID of now that ends with the server's mark (before it 48 bit ms and 40 random bits). */
void kf_maker_ulid(const char *server, char out[CM_ULID_TEXT]);
/* The server of the trust root, in whatever state, whose mark the ULID ends with; NULL: none, or
 * it is no ULID. */
const struct kf_server *kf_maker_of(const struct kf_trust *trust, const char *ulid);
