// Everything an application needs.
#pragma once

#include "dbos/client.hpp"
#include "dbos/context.hpp"
#include "dbos/error.hpp"
#include "dbos/handle.hpp"
#include "dbos/json.hpp"
#include "dbos/options.hpp"
#include "dbos/records.hpp"
#include "dbos/runtime.hpp"
#include "dbos/signature.hpp"
#include "dbos/workflow.hpp"
