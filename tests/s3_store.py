"""An S3 store on this machine: moto's server, which answers as S3 does and keeps its objects in memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

KEYS = {"AWS_ACCESS_KEY_ID": "id-of-nobody", "AWS_SECRET_ACCESS_KEY": "secret-of-nobody"}
"""Environment of whoever reads; any keys will do. Nothing may be asked of the machine itself, nor of its files."""
ENVIRONMENT = KEYS | {
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/nowhere",
    "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
}


@dataclass(frozen=True)
class Store:
    """A bucket called ``scans``.

    Attributes:
        host: with the port.
        client: boto3's, as an uploader has it.
    """

    host: str
    client: Any

    def address(self, folder: str, more: str = "") -> str:
        """Of a folder of the bucket."""
        return f"s3://scans/{folder}?endpoint_override={self.host}&scheme=http{more}"

    def put(self, folder: str, local: Path) -> None:
        """Every file below ``local``."""
        for path in sorted(each for each in local.rglob("*") if each.is_file()):
            name = f"{folder}/{path.relative_to(local).as_posix()}"
            self.client.put_object(Bucket="scans", Key=name, Body=path.read_bytes())


@contextmanager
def running_store() -> Iterator[Store]:
    """The store, until the block ends."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host = "{}:{}".format(*server.get_host_and_port())
        keys = {"aws_access_key_id": KEYS["AWS_ACCESS_KEY_ID"], "aws_secret_access_key": KEYS["AWS_SECRET_ACCESS_KEY"]}
        client = boto3.client("s3", endpoint_url=f"http://{host}", region_name="us-east-1", **keys)
        client.create_bucket(Bucket="scans")
        yield Store(host, client)
    finally:
        server.stop()
