/*
 * libcurl's multi interface on the event loop: watches, timer, end of transfers.  Used by the
 * clients of base/net; handles are CURL pointers, seen here as void.
 */
#pragma once

#include "base/net/loop.h"

struct curl_loop;
/* A transfer has ended: arg is the handle's CURLOPT_PRIVATE, code a CURLcode.  Never called inside
 * one of libcurl's callbacks. */
typedef void (*curl_loop_done_fn)(void *arg, int code);

struct curl_loop *curl_loop_new(struct cm_loop *loop, curl_loop_done_fn done);
/* Every handle must have been removed before. */
void curl_loop_free(struct curl_loop *curl);
/* A new easy handle with what every transfer of ours has: no signals, no proxy from the
 * environment, sockets that `curl` can watch.  Never NULL; the caller cleans it up. */
void *curl_loop_easy(struct curl_loop *curl);
/* Not inside a callback of libcurl (curl_loop_inside()). */
void curl_loop_add(struct curl_loop *curl, void *easy);
void curl_loop_remove(struct curl_loop *curl, void *easy);
/* Is libcurl running right now?  Then most of its functions are forbidden. */
bool curl_loop_inside(const struct curl_loop *curl);
/* CURLMOPT_MAX_HOST_CONNECTIONS, _MAX_TOTAL_CONNECTIONS, _MAXCONNECTS. */
void curl_loop_limits(struct curl_loop *curl, long per_host, long total, long idle);
