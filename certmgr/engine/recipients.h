/*
 * Who can open a credential's key, compared with the trust root of today: a server that joined
 * again has other keys than the ones it was sealed for, and one that was removed knows what it
 * could open.
 */
#pragma once

#include "certmgr/engine/internal.h"
#include "keyfile/trust.h"

/* Is it sealed for a seal key of this server that counts?  True also of what is no envelope: its
 * deployment says what is wrong with it. */
bool eng_recipient(const struct kf_server *server, const char *sealed_key);
/* Of the servers listed, the first that is active and cannot open the key, or was removed and can;
 * NULL: there is none (or no key). */
const struct kf_server *eng_recipient_wrong(const struct engine *engine, const json_t *servers,
                                            const char *sealed_key);
/* The servers listed that were not removed (owned); all of them where nobody would be left. */
json_t *eng_recipients(const struct engine *engine, const json_t *servers);
