// Public, so that `tidemark doctor` can ask beforehand; inside this folder it keeps its short name.
#pragma once

#include "tidemark/collector/executable.h"
