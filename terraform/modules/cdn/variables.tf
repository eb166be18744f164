variable "name" {
  type        = string
  description = "What all names begin with."
}

variable "region" {
  type        = string
  description = "Of the origins, and so of Origin Shield."
}

variable "figures" {
  type        = string
  description = "Folder of distribution.json and of the function."
}

variable "load_balancer_arn" {
  type        = string
  description = "Private, before the origins."
}

variable "origin_domain" {
  type        = string
  description = "What the load balancer's certificate is for."
}

variable "origin_secret" {
  type        = string
  sensitive   = true
  description = "By which the origin knows CloudFront."
}

variable "domain" {
  type        = string
  nullable    = true
  description = "What playback URLs begin with; null: CloudFront's own name."
}

variable "certificate_arn" {
  type        = string
  nullable    = true
  description = "Of that domain, in ACM in us-east-1."
}

variable "price_class" {
  type        = string
  description = "Where in the world: PriceClass_100, PriceClass_200, PriceClass_All."
}

variable "signing_keys" {
  type        = list(object({ kid = string, secret = string }))
  sensitive   = true
  description = "By which the function verifies playback tokens."
}

variable "signed_playback" {
  type        = object({ mode = string, public_keys = list(string), cookie_domain = optional(string) })
  nullable    = true
  description = "Signed cookies or URLs instead of tokens."
}

variable "page_origins" {
  type        = list(string)
  description = "Web origins whose pages play by cookies."
}

variable "logs_bucket_arn" {
  type        = string
  description = "For access logs."
}
