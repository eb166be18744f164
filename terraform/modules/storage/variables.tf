variable "name" {
  type        = string
  description = "What the names of buckets begin with."
}

variable "account_id" {
  type        = string
  description = "What they end with: names are shared by all accounts."
}

variable "kms_key_arn" {
  type        = string
  description = "Encrypts media."
}

variable "page_origins" {
  type        = list(string)
  description = "Web origins whose pages upload straight to S3."
}

variable "deleted_originals_days" {
  type        = number
  description = "How long a deleted original can be brought back."
}

variable "logs_days" {
  type        = number
  description = "How long logs are kept."
}

variable "disposable" {
  type        = bool
  description = "Destroying takes buckets away with what is in them."
}
