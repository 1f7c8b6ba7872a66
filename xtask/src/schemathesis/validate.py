"""Holds the OpenAPI document at an address to the specification's own schema and rules."""

import sys

from openapi_spec_validator import validate_url

validate_url(sys.argv[1])
