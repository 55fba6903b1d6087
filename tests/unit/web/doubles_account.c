/* What is done with an account at its CA: everything is taken. */
#include <string.h>

#include "certmgr/engine/engine.h"

#include "tests/unit/web/doubles.h"

int eng_account_act_parse(const char *word)
{
    return word && strcmp(word, "update") == 0 ? ACCOUNT_UPDATE : -1;
}

void eng_account_act(struct engine *engine, const char *name, enum eng_account_act act,
                     const struct eng_actor *actor, eng_done_fn done, void *arg)
{
    doubles.base_serial = act;
    eng_retry(engine, name, actor, done, arg);
}
