/* What the commands around credentials share: those that ask for something (cmd_credential.c), and
 * those that show (cmd_credential_view.c). */
#pragma once

#include "certmgr/cli/cli_internal.h"

/* One request about a credential: tail is what follows /credentials/ULID in its path.  What is no
 * ULID is refused here (told).  *ret owned, may be NULL.  Returns an exit status. */
int cli_credential(struct cli *cli, const char *method, const char *ulid, const char *tail,
                   json_t **ret);
/* Of a reply to GET; "pending" while there is only a request. */
const char *cli_credential_status(const json_t *view);

/* The commands list and show. */
int cli_credential_list(struct cli *cli);
int cli_credential_show(struct cli *cli);
