"""One that ends in the middle."""

import json
import sys

sys.stdin.readline()
print(json.dumps({"protocol": 1, "engine": {}}), flush=True)
sys.stdin.readline()
sys.exit("the model is too large for this machine")
