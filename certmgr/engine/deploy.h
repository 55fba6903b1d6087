/*
 * Deployment on this server: every keyfile: document that lists us is staged, swapped, tested,
 * reloaded, looked at on the wire, and reported as a receipt: (design section 9).
 *
 * The agent writes files; the supervisor runs hooks by name; this is the step machine between
 * them.  Silence never undeploys: nothing here removes files of a document that went away.
 */
#pragma once

#include "certmgr/engine/engine.h"

#define DEP_WIRE_TRIES 20 /* looks at the TLS port after a reload, 50 ms apart at first */

/* Local view of one target ([target NAME] of the configuration). */
struct dep_target {
    const char *name;
    bool has_test, has_reload; /* hooks configured */
    const char *check;         /* "address:port" looked at after the reload, or NULL */
};

/* Runs a hook of a target by name in the supervisor: step "test" or "reload".  output: last 4 KiB.
 * Called exactly once; err = could not run, exit status not 0, or time limit. */
typedef void (*dep_hook_fn)(void *arg, const char *output, const struct cm_err *err);
struct dep_hooks {
    void *arg;
    void (*run)(void *arg, const char *target, const char *step, dep_hook_fn done, void *done_arg);
};
/* Looks at a TLS port: done gets the hex SHA-256 of the served leaf, or err. */
typedef void (*dep_wire_fn)(void *arg, const char *fingerprint, const struct cm_err *err);
struct dep_wire {
    void *arg;
    /* Ends the look that was started with this done_arg: done is not called any more.  May be NULL
     * when looks end by themselves before the loop does. */
    void (*cancel)(void *arg, void *done_arg);
    void (*look)(void *arg, const char *address, const char *server_name, dep_wire_fn done,
                 void *done_arg);
};

struct deployer;
struct deployer *dep_new(const struct eng_env *env, struct engine *engine,
                         const struct dep_target *targets, size_t target_count,
                         const struct dep_hooks *hooks, const struct dep_wire *wire);
void dep_free(struct deployer *deployer);
/* Built-in wire port: OpenSSL client over the loop (SNI, any certificate accepted, only read). */
struct dep_wire dep_wire_tls(struct cm_loop *loop);
