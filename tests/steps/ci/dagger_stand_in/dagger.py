"""Stands in for Dagger's Python SDK and its engine: as much as the example of docs/ci/dagger.md calls, with the same names.
A container is the program under test with an environment that holds nothing but what the container was given."""

import os
import subprocess


class Secret:
    def __init__(self, address):
        kind, path = address.split("://", 1)
        assert kind == "file", address
        with open(path, encoding="utf-8") as file:
            self.plaintext = file.read()


class Container:
    def __init__(self, image=None, environment=(), words=None):
        self._image, self._environment, self._words = image, tuple(environment), words

    def from_(self, address):
        return Container(address, self._environment, self._words)

    def with_secret_variable(self, name, secret):
        assert isinstance(secret, Secret)
        return Container(self._image, (*self._environment, (name, secret.plaintext)), self._words)

    def with_env_variable(self, name, value):
        assert isinstance(value, str)
        return Container(self._image, (*self._environment, (name, value)), self._words)

    def with_exec(self, args):
        assert all(isinstance(word, str) for word in args)
        return Container(self._image, self._environment, list(args))

    async def stdout(self):
        # The image without a shell has this program and no other.
        assert self._image == "ghcr.io/org/imgstep:v1.0.0" and self._words[0] == "/imgstep", (self._image, self._words)
        program = os.environ["PROGRAM_UNDER_TEST"]
        done = subprocess.run(
            [program, *self._words[1:]], env=dict(self._environment), cwd="/", stdout=subprocess.PIPE, text=True, check=True
        )
        return done.stdout


class _Dag:
    def container(self):
        return Container()


dag = _Dag()


def object_type(cls):
    return cls


def function(method):
    method.is_function = True
    return method
