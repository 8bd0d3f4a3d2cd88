# start.sh
set -eu

pgsession migrate --wait 60
python -m app.migrate
exec uvicorn --factory app.main:make_app --host "${HOST:-0.0.0.0}" --port "${PORT:-8000}" \
    --timeout-graceful-shutdown 20
