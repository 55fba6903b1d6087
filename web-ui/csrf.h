/*
 * Requests that other sites make a browser send: refused by fetch metadata or Origin, and for forms
 * by a token of the session.
 */
#pragma once

#include "base/net/http_server.h"
#include "web-ui/session.h"

/* GET, HEAD, OPTIONS change nothing. */
bool web_method_is_safe(enum http_method method);
/* Does the request come from our own pages?  Sec-Fetch-Site must be same-origin or none; where a
 * client sends none of it, Origin must be this scheme and host. */
bool web_origin_ok(const struct http_request *req);
/* Is it this session's form token? (constant time) */
bool web_token_ok(const struct web_session *session, const char *token);
