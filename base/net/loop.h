/*
 * The event loop: one thread owns all state of the front (libuv inside).
 *
 * Rules: no blocking call on the loop but the group commit of LMDB; callbacks store their result
 * and return; a timer fires once and is re-armed by its owner.
 */
#pragma once

#include "base/core/err.h"

struct cm_loop;
struct cm_timer;
struct cm_watch;
struct uv_loop_s;

struct cm_loop *cm_loop_new(void);
/* Runs until cm_loop_stop(). */
void cm_loop_run(struct cm_loop *loop);
/* One turn: handles what is ready (waits for something when wait is true).  For tests. */
void cm_loop_turn(struct cm_loop *loop, bool wait);
void cm_loop_stop(struct cm_loop *loop);
/* Every timer, watch, server and client of the loop must be freed before. */
void cm_loop_free(struct cm_loop *loop);
/* For files of base/net only. */
struct uv_loop_s *cm_loop_uv(struct cm_loop *loop);

typedef void (*cm_fn)(void *arg);

struct cm_timer *cm_timer_new(struct cm_loop *loop, cm_fn fn, void *arg);
/* (Re)arms: fn(arg) once after ms (0 = next turn). */
void cm_timer_start(struct cm_timer *timer, int64_t ms);
void cm_timer_stop(struct cm_timer *timer);
bool cm_timer_active(const struct cm_timer *timer);
void cm_timer_free(struct cm_timer *timer); /* NULL allowed */

/* Runs fn(arg) once at the end of this loop turn, before the loop waits again (group commit). */
void cm_loop_defer(struct cm_loop *loop, cm_fn fn, void *arg);

#define CM_WATCH_READ  1
#define CM_WATCH_WRITE 2
/* Calls fn(arg, events) whenever fd is ready (level-triggered). */
typedef void (*cm_watch_fn)(void *arg, int events);
struct cm_watch *cm_watch_new(struct cm_loop *loop, int fd, cm_watch_fn fn, void *arg);
void cm_watch_set(struct cm_watch *watch, int events); /* 0 = pause */
void cm_watch_free(struct cm_watch *watch);            /* does not close fd */

/* Runs work(arg) on a worker thread, then done(arg) on the loop.  work must touch nothing but arg.
 * Worker threads are this much nicer than the loop (at most 19): it goes first. */
#define CM_LOOP_WORK_NICE 5
void cm_loop_work(struct cm_loop *loop, cm_fn work, cm_fn done, void *arg);
/* Calls fn(arg) on SIGTERM/SIGINT (once per signal). */
void cm_loop_on_term(struct cm_loop *loop, cm_fn fn, void *arg);
