# Given as TF_VAR_..., never in a file. They are in the state, which is why its bucket is encrypted.

variable "queue_password" {
  type        = string
  sensitive   = true
  description = "Of the job queue: openssl rand -hex 32."

  validation {
    condition     = can(regex("^[A-Za-z0-9]{32,128}$", var.queue_password))
    error_message = "Expected 32 to 128 letters and digits, as printed by openssl rand -hex 32."
  }
}

variable "origin_secrets" {
  type        = list(string)
  sensitive   = true
  description = "CloudFront sends the first, origins accept all: origin.secrets."

  validation {
    condition     = length(var.origin_secrets) > 0 && alltrue([for secret in var.origin_secrets : can(regex("^[A-Za-z0-9_-]{32,256}$", secret))])
    error_message = "Expected at least one, each of 32 letters, digits, hyphens or underscores, as printed by openssl rand -hex 32."
  }
}

variable "signing_keys" {
  type        = list(object({ kid = string, secret = string }))
  sensitive   = true
  description = "Keys of playback tokens; the first signs, all verify: signing.keys."

  validation {
    condition     = length(var.signing_keys) > 0 && alltrue([for key in var.signing_keys : can(regex("^[A-Za-z0-9_-]{43,}$", key.secret))])
    error_message = "Expected at least one, with a secret of 32 bytes or more in base64url without padding."
  }
}

variable "signing_private_key" {
  type        = string
  default     = null
  sensitive   = true
  description = "With signed_playback: the private key (PEM) of its first public key."

  validation {
    condition     = (var.signing_private_key == null) == (var.signed_playback == null)
    error_message = "signed_playback and signing_private_key go together: set both or neither."
  }
}
