/*
 * One deployment: stage, swap, test, reload, look at the wire, commit, receipt.
 *
 * The test of a configuration needs the files in place, so they are swapped first and swapped back
 * when test, reload or wire say no; after a reload the service is reloaded once more, so that it
 * reads the former files again.  Files that were in place already (a crash after the swap, a hook
 * that failed before) are tested, reloaded and looked at, but not rolled back: there is nothing to
 * go back to.
 */
#include "certmgr/engine/dep_run.h"

#include <stdio.h>
#include <string.h>

#include "base/core/utf8.h"

#define OUTPUT_SHOWN 400 /* last bytes of a hook's output kept in the error */

static void enter(struct dep_run *run, enum dep_step step);

static void run_free(struct dep_run *run)
{
    cm_timer_free(run->timer);
    json_decref(run->document);
    json_decref(run->receipt);
    cm_err_fini(&run->err);
    cm_free(run);
}

void dep_run_drop(struct dep_run *run)
{
    struct deployer *deployer = run->place->deployer;
    if (run->step == DEP_LOOK && run->waiting && deployer->wire.cancel) {
        deployer->wire.cancel(deployer->wire.arg, run);
        run->waiting = false;
    }
    cm_timer_free(run->timer);
    run->timer = NULL;
    run->place = NULL;
    if (!run->waiting)
        run_free(run);
}

/* First lines of every answer: true = the deployer is gone, and now the run is, too. */
static bool is_dropped(struct dep_run *run)
{
    run->waiting = false;
    if (run->place)
        return false;
    run_free(run);
    return true;
}

static void over(struct dep_run *run, int64_t retry_ms)
{
    struct dep_place *place = run->place;
    char ulid[CM_ULID_TEXT];
    memcpy(ulid, run->ulid, sizeof(ulid));
    place->run = NULL;
    run_free(run);
    dep_run_over(place, ulid, retry_ms);
}

/* ---- failures ---------------------------------------------------------------------------------
 */

/* The way back; run->err says why. */
static void failed(struct dep_run *run)
{
    if (run->err.hint[0] == '\0' && run->err.code == CM_EIO &&
        (run->step == DEP_STAGE || run->step == DEP_SWAP))
        cm_err_hint(&run->err,
                    "Check that the data directory of [target %s] exists and that the "
                    "key agent may write there",
                    run->place->name);
    if (run->err.hint[0] == '\0' && run->err.code == CM_EFULL)
        cm_err_hint(&run->err, "Free space on the file system of the data directory of [target %s]",
                    run->place->name);
    cm_log_err(CM_LOG_WARN, "deploy", &run->err);
    enter(run, run->swapped ? DEP_ROLLBACK : DEP_RECEIPT);
}

static void start_over(struct dep_run *run)
{
    run->swapped = run->reloaded = false;
    run->looks = 0;
    cm_err_fini(&run->err);
    enter(run, DEP_STAGE);
}

static void on_agent_timer(void *arg)
{
    start_over(arg);
}

static void after(struct dep_run *run, int64_t ms, cm_fn fn)
{
    cm_timer_free(run->timer);
    run->timer = cm_timer_new(run->place->deployer->env.loop, fn, run);
    cm_timer_start(run->timer, ms);
}

static bool agent_away(const struct cm_err *err)
{
    return err->code == CM_EBUSY || err->code == CM_ECLOSED;
}

/* ---- agent --------------------------------------------------------------------------------------
 */

static void on_agent(void *arg, const json_t *reply, const struct cm_err *err);

static void call_agent(struct dep_run *run, json_t *take_request)
{
    struct kf_agent agent = run->place->deployer->env.agent;
    run->waiting = true;
    agent.call(agent.arg, take_request, on_agent, run);
}

static void call_stage(struct dep_run *run)
{
    json_t *request = json_object();
    cm_json_set_str(request, "op", "deploy.stage");
    json_object_set(request, "document", run->document);
    cm_json_set_str(request, "target", run->place->name);
    call_agent(run, request);
}

static void call_staged(struct dep_run *run, const char *op)
{
    json_t *request = json_object();
    cm_json_set_str(request, "op", op);
    cm_json_set_str(request, "stage", run->stage);
    call_agent(run, request);
}

static void staged(struct dep_run *run, const json_t *reply)
{
    const char *stage = cm_json_str_or(reply, "stage", "");
    bool changed = cm_json_bool(reply, "changed", true);
    if (cm_strcpy(run->stage, sizeof(run->stage), stage) != 0 || (changed && !*stage)) {
        cm_fail(&run->err, CM_EMALF, "The key agent's answer to deploy.stage is not complete");
        failed(run);
    } else if (changed) {
        enter(run, DEP_SWAP);
    } else if (dep_receipt_good(run->place, run->receipt, run->document)) {
        over(run, 0);
    } else {
        enter(run, DEP_TEST);
    }
}

static void agent_failed(struct dep_run *run, const struct cm_err *err)
{
    if (agent_away(err)) {
        /* Not an attempt.  Whatever was staged or swapped, staging again finds it. */
        after(run, ENG_AGENT_AWAY_MS, on_agent_timer);
        return;
    }
    switch (run->step) {
    case DEP_STAGE:
    case DEP_SWAP:
        cm_err_copy(&run->err, err);
        cm_wrap(&run->err, CM_EIO, "The keyring could not be written to target \"%s\"",
                run->place->name);
        if (strstr(err->what, "not a recipient"))
            cm_err_hint(&run->err,
                        "The key was sealed for the keys that this server had before it joined "
                        "again. The manager orders the certificate with a new key by itself, or "
                        "seals an imported key anew; where it is paused or people bring the "
                        "certificate, give there: certmgr renew --new-key ID");
        failed(run);
        return;
    case DEP_COMMIT:
        /* The new files serve; what failed is the book-keeping of old generations. */
        cm_log_err(CM_LOG_WARN, "deploy", err);
        enter(run, DEP_RECEIPT);
        return;
    default:
        cm_err_cause(&run->err, "the former files could not be put back: %s", err->what);
        enter(run, DEP_RECEIPT);
    }
}

static void on_agent(void *arg, const json_t *reply, const struct cm_err *err)
{
    struct dep_run *run = arg;
    if (is_dropped(run))
        return;
    if (err) {
        agent_failed(run, err);
        return;
    }
    switch (run->step) {
    case DEP_STAGE:
        staged(run, reply);
        break;
    case DEP_SWAP:
        run->swapped = true;
        enter(run, DEP_TEST);
        break;
    case DEP_ROLLBACK:
        run->swapped = false;
        enter(run, run->reloaded ? DEP_RELOAD_AGAIN : DEP_RECEIPT);
        break;
    default:
        enter(run, DEP_RECEIPT);
    }
}

/* ---- hooks --------------------------------------------------------------------------------------
 */

static void hook_error(struct dep_run *run, const char *what, const char *output,
                       const struct cm_err *err)
{
    cm_err_copy(&run->err, err);
    cm_wrap(&run->err, CM_EIO, "%s of target \"%s\" failed", what, run->place->name);
    size_t len = output ? strlen(output) : 0;
    if (len > 0) {
        char text[OUTPUT_SHOWN + 1];
        snprintf(text, sizeof(text), "%s", output + (len > OUTPUT_SHOWN ? len - OUTPUT_SHOWN : 0));
        cm_utf8_fix(text);
        cm_err_cause(&run->err, "output: %s", text);
    }
    cm_err_hint(&run->err, "Run the %s command of [target %s] by hand on this server",
                run->step == DEP_TEST ? "test" : "reload", run->place->name);
}

static void on_hook(void *arg, const char *output, const struct cm_err *err)
{
    struct dep_run *run = arg;
    if (is_dropped(run))
        return;
    bool bad = err && err->code != 0;
    switch (run->step) {
    case DEP_TEST:
        if (bad) {
            hook_error(run, "The configuration test", output, err);
            failed(run);
        } else {
            enter(run, DEP_RELOAD);
        }
        break;
    case DEP_RELOAD:
        if (bad) {
            hook_error(run, "The reload", output, err);
            failed(run);
        } else {
            enter(run, DEP_LOOK);
        }
        break;
    default: /* DEP_RELOAD_AGAIN */
        if (bad)
            cm_err_cause(&run->err, "the reload with the former files failed, too: %s", err->what);
        enter(run, DEP_RECEIPT);
    }
}

static void call_hook(struct dep_run *run, const char *step)
{
    struct dep_hooks *hooks = &run->place->deployer->hooks;
    run->waiting = true;
    hooks->run(hooks->arg, run->place->name, step, on_hook, run);
}

/* ---- wire ---------------------------------------------------------------------------------------
 */

static void look(void *arg);

/* "www.example.com", or for "*.example.com" a name that it covers. */
static void server_name(const struct dep_run *run, char *out, size_t size)
{
    const json_t *names = cm_json_arr(run->document, "names");
    size_t i;
    json_t *name;
    json_array_foreach(names, i, name)
    {
        const char *text = json_string_value(name);
        if (text && strncmp(text, "*.", 2) != 0) {
            (void)cm_strcpy(out, size, text);
            return;
        }
    }
    const char *first = json_string_value(json_array_get(names, 0));
    snprintf(out, size, "www%s", first ? first + 1 : ".invalid");
}

static void on_look(void *arg, const char *fingerprint, const struct cm_err *err)
{
    struct dep_run *run = arg;
    if (is_dropped(run))
        return;
    const char *wanted = cm_json_str_or(run->document, "fingerprint", "");
    if (!err && fingerprint && strcmp(fingerprint, wanted) == 0) {
        enter(run, DEP_COMMIT);
        return;
    }
    if (++run->looks < DEP_WIRE_TRIES) {
        int64_t pause = DEP_LOOK_FIRST_MS;
        for (unsigned i = 1; i < run->looks && pause < DEP_LOOK_MAX_MS; i++)
            pause = pause * 3 / 2;
        after(run, pause < DEP_LOOK_MAX_MS ? pause : DEP_LOOK_MAX_MS, look);
        return;
    }
    const char *check = run->place->check;
    if (err) {
        cm_err_copy(&run->err, err);
        cm_wrap(&run->err, CM_ENET, "After the reload no certificate could be seen at %s", check);
    } else {
        cm_fail(&run->err, CM_EPEER, "After the reload %s still serves another certificate", check);
        cm_err_cause(&run->err, "served: %.16s…, expected: %.16s…", fingerprint ? fingerprint : "",
                     wanted);
    }
    cm_err_hint(&run->err,
                "Check that the service at %s reads its key and certificate from target \"%s\" and "
                "that its reload command makes it read them again",
                check, run->place->name);
    failed(run);
}

static void look(void *arg)
{
    struct dep_run *run = arg;
    struct dep_wire *wire = &run->place->deployer->wire;
    char name[256] = "";
    server_name(run, name, sizeof(name));
    run->waiting = true;
    wire->look(wire->arg, run->place->check, name, on_look, run);
}

/* ---- receipt ------------------------------------------------------------------------------------
 */

static void on_receipt_timer(void *arg)
{
    enter(arg, DEP_RECEIPT);
}

static void on_receipt(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    struct dep_run *run = arg;
    (void)doc;
    if (is_dropped(run))
        return;
    if (err && (agent_away(err) || err->code == CM_EFULL)) {
        after(run, ENG_AGENT_AWAY_MS, on_receipt_timer);
        return;
    }
    if (err)
        cm_log_err(CM_LOG_ERROR, "deploy", err);
    over(run, run->err.code != 0 ? run->err.next_attempt_ms : 0);
}

static void publish_receipt(struct dep_run *run)
{
    bool bad = run->err.code != 0;
    if (bad)
        cm_err_object(&run->err, "keyfile:%s", run->ulid);
    struct dep_report report = {.state = bad ? "failed" : dep_goal(run->place),
                                .target = run->place->name,
                                .document = run->document,
                                .err = bad ? &run->err : NULL};
    run->waiting = true;
    dep_report(run->place->deployer, run->ulid, &report, on_receipt, run);
}

/* ---- steps --------------------------------------------------------------------------------------
 */

static void enter(struct dep_run *run, enum dep_step step)
{
    struct dep_place *place = run->place;
    /* What is not configured is passed over. */
    if (step == DEP_TEST && !place->has_test)
        step = DEP_RELOAD;
    if (step == DEP_RELOAD && !place->has_reload)
        step = DEP_LOOK;
    if (step == DEP_LOOK && !place->check)
        step = DEP_COMMIT;
    if (step == DEP_COMMIT && !*run->stage)
        step = DEP_RECEIPT;
    run->step = step;
    switch (step) {
    case DEP_STAGE:
        call_stage(run);
        break;
    case DEP_SWAP:
        call_staged(run, "deploy.swap");
        break;
    case DEP_TEST:
        call_hook(run, "test");
        break;
    case DEP_RELOAD:
        run->reloaded = true;
        call_hook(run, "reload");
        break;
    case DEP_LOOK:
        run->looks = 0;
        look(run);
        break;
    case DEP_COMMIT:
        call_staged(run, "deploy.commit");
        break;
    case DEP_ROLLBACK:
        call_staged(run, "deploy.rollback");
        break;
    case DEP_RELOAD_AGAIN:
        call_hook(run, "reload");
        break;
    case DEP_RECEIPT:
        publish_receipt(run);
        break;
    }
}

void dep_run_start(struct dep_place *place, const char *ulid, json_t *take_document,
                   json_t *take_receipt)
{
    struct dep_run *run = cm_calloc(1, sizeof(*run));
    run->place = place;
    run->document = take_document;
    run->receipt = take_receipt;
    (void)cm_strcpy(run->ulid, sizeof(run->ulid), ulid);
    place->run = run;
    enter(run, DEP_STAGE);
}
