"""Makes a container, and prints two signatures of the account: one that permits everything, and one whose time is over.

    azure_container.py ADDRESS ACCOUNT KEY CONTAINER
"""

import base64
import datetime
import hashlib
import hmac
import sys
import urllib.parse
import urllib.request

address, account, key, container = sys.argv[1:]


def signature(hours):
    """What permits everything until so many hours from now."""
    until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=hours)
    fields = {"sp": "rwdlacupx", "ss": "b", "srt": "sco", "st": "2020-01-01T00:00:00Z", "se": f"{until:%Y-%m-%dT%H:%M:%SZ}"}
    fields |= {"sip": "", "spr": "https,http", "sv": "2021-08-06", "ses": ""}
    text = "".join(f"{line}\n" for line in [account, *fields.values()])
    digest = hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()
    fields["sig"] = base64.b64encode(digest).decode()
    return urllib.parse.urlencode({name: value for name, value in fields.items() if value})


good, over = signature(24), signature(-1)
make = f"{address}/{account}/{container}?restype=container&{good}"
urllib.request.urlopen(urllib.request.Request(make, method="PUT", data=b"")).read()
print(good)
print(over)
