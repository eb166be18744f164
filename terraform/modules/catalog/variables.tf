variable "name" {
  type        = string
  description = "Name of the table."
}

variable "kms_key_arn" {
  type        = string
  description = "Encrypts the table."
}

variable "disposable" {
  type        = bool
  description = "Destroying takes the table away with what is in it."
}
