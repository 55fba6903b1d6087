/* The port of web-ui/power.h over the fleet. */
#pragma once

#include "certmgr/config/config.h"
#include "certmgr/fleet/fleet.h"
#include "web-ui/power.h"

struct app_power {
    struct fleet *fleet;
    const struct config *config;
};
/* power is borrowed for as long as the port is used. */
struct web_power app_power_port(struct app_power *power);
