"""One learner, one process: the request sequence of the reference driver (contract of the LMS, section 6).

What a job runner starts per learner. It does nothing else: no retry, no clean-up of a machine, no clone of
a repository. It calls `requests.request` for each request, without a session, as the reference does.
"""

import sys
from pathlib import Path

import requests
import yaml

BODIES = {
    "retirement_unenroll": ("POST", "/api/enrollment/v1/unenroll/"),
    "retirement_retire_forum": ("POST", "/api/discussion/v1/accounts/retire_forum/"),
    "retirement_retire_notes": ("POST", "/api/edxnotes/v1/retire_user/"),
    "retirement_partner_queue": ("PUT", "/api/user/v1/accounts/retirement_partner_report/"),
    "retirement_lms_retire_misc": ("POST", "/api/user/v1/accounts/retire_misc/"),
    "retirement_lms_retire": ("POST", "/api/user/v1/accounts/retire/"),
}


def request_of(step: dict[str, str], learner: dict[str, object], urls: dict[str, str]) -> tuple[str, str, object]:
    """Method, URL and JSON body of one step for one row of the LMS."""
    username, operation = learner["original_username"], step["operation"]
    if operation == "replace_usernames":
        mapping = {"username_mappings": [{username: learner["retired_username"]}]}
        return "POST", f"{urls[step['service']]}/api/v2/replace_usernames/", mapping
    if operation == "retire_learner":
        ids = {"lms_user_id": learner["user"]["id"], "original_username": username}  # type: ignore[index]
        return "POST", f"{urls[step['service']]}/api/v1/retire_user", ids
    if operation == "retirement_retire_proctoring_data":
        return "POST", f"{urls['LMS']}/api/edx_proctoring/v1/retire_user/{learner['user']['id']}/", None  # type: ignore[index]
    method, path = BODIES[operation]
    return method, urls["LMS"] + path, {"username": username}


def urls_of(configuration: dict[str, object]) -> dict[str, str]:
    """Base URLs by service name."""
    services: dict[str, dict[str, str]] = configuration["services"]  # type: ignore[assignment]
    lms: dict[str, str] = configuration["lms"]  # type: ignore[assignment]
    return {"LMS": lms["url"], **{name: service["url"] for name, service in services.items()}}


def main(path: str, username: str) -> None:
    configuration = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    urls, lms = urls_of(configuration), configuration["lms"]
    form = {"grant_type": "client_credentials", "token_type": "jwt"}
    form |= {"client_id": lms["client_id"], "client_secret": lms["client_secret"]}
    token = requests.post(f"{urls['LMS']}/oauth2/access_token", data=form, timeout=60).json()["access_token"]
    headers = {"Authorization": f"JWT {token}"}
    accounts = f"{urls['LMS']}/api/user/v1/accounts"

    def move(state: str, text: str) -> None:
        body = {"username": username, "new_state": state, "response": text}
        url = f"{accounts}/update_retirement_status/"
        requests.patch(url, json=body, headers=headers, timeout=60).raise_for_status()

    answer = requests.get(f"{accounts}/{username}/retirement_status/", headers=headers, timeout=60)
    answer.raise_for_status()
    learner = answer.json()
    for step in configuration["pipeline"]:
        move(step["start"], f"Starting: {step['start']}")
        method, url, body = request_of(step, learner, urls)
        requests.request(method, url, json=body, headers=headers, timeout=60).raise_for_status()
        move(step["end"], f"Ending: {step['end']}")
    move("COMPLETE", "Learner retirement complete.")


if __name__ == "__main__":
    main(*sys.argv[1:])
