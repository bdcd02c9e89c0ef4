# lpt on a CPU, as a user without rights.
#
#   docker build -t lpt .
#   docker run --rm lpt lpt-eval pretrained:maze2d-umaze --episodes 20
#   docker run --rm -v "$PWD/runs:/home/lpt/runs" lpt lpt-train --env maze2d-umaze   # runs/ is for user 1000 to write
ARG PYTHON=3.12
FROM python:${PYTHON}-slim

RUN useradd --create-home lpt
WORKDIR /opt/lpt
# PyTorch alone comes from its own index, as its build for CPUs: PyPI's brings CUDA's gigabytes.
COPY constraints.txt .
RUN pip install --no-cache-dir --no-deps --index-url https://download.pytorch.org/whl/cpu \
    "$(grep '^torch==' constraints.txt)"
COPY pyproject.toml README.md LICENSE ./
COPY configs configs
COPY envs envs
COPY lpt lpt
RUN pip install --no-cache-dir -c constraints.txt '.[export,hub,html,minari,solver]'

USER lpt
WORKDIR /home/lpt
CMD ["lpt-info"]
