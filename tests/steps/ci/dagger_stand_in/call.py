"""`dagger call FUNCTION --ARGUMENT VALUE…`, for the module whose source is in the working folder."""

import asyncio
import inspect
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import dagger  # noqa: E402

command, name, *words = sys.argv[1:]
assert command == "call", command
scope = {}
exec(compile(pathlib.Path("src/release/main.py").read_text(encoding="utf-8"), "main.py", "exec"), scope)
method = getattr(scope["Release"](), name)
assert method.is_function, name
given = {word.removeprefix("--"): value for word, value in zip(words[::2], words[1::2], strict=True)}
parameters = inspect.signature(method).parameters
assert set(given) == set(parameters), (given, parameters)
for key, parameter in parameters.items():
    if parameter.annotation is dagger.Secret:
        given[key] = dagger.Secret(given[key])
print(asyncio.run(method(**given)))
